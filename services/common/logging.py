"""Structured logs: one JSON object a line on standard error, so that standard output stays free for answers."""

import logging
import sys

import structlog

_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
# One list for every call: loggers keep the list that they met first, and what captures logs swaps the present one.
_PROCESSORS: list[structlog.typing.Processor] = [*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]


def configure_logging(service: str, *, level: str = "INFO") -> None:
    """Sets up structlog and the standard library's loggers of one process. Call it once, in main.

    Every line carries `service`, `level`, `timestamp` (ISO 8601, UTC) and `event`; bound values come along.
    """
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.contextvars.bind_contextvars(service=service)


def get_logger(name: str | None = None) -> structlog.stdlib.BoundLogger:
    """A logger whose keyword arguments become fields: `get_logger().info("checkpoint registered", step=step)`."""
    return structlog.stdlib.get_logger(name)
