"""How the installation stands: the queue, and what is around the orchestrator, looked at every so often.

A look is a call that changes nothing: an object, an evaluation and a job of names that nobody has. "There is none" is
an answer; that nobody answers, or refuses, is what is told. The database is known by the reconcile loop's passes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from retain.values import ComponentState, ComponentStatus, SystemStatus
from services.common.concurrency.blocking import Blocking
from services.common.errors import NotFound, RetainError
from services.common.logging import get_logger
from services.common.store.object_store import ObjectStore
from services.orchestrator.application.ports import EvaluatorPort, JobLauncher, Overview
from services.orchestrator.application.queue import Queue
from services.orchestrator.application.run_store import Clock, News, Observer
from services.orchestrator.domain.run.state import PipelineRun

NOBODY = "retain-status"  # no run has this name: those of runs end in eight digits of chance
LOOK_EVERY_S = 15.0
LOOK_LIMIT_S = 5.0
DATABASE_LIMIT_S = 20.0  # passes of the reconcile loop come every second
Look = Callable[[], Awaitable[object]]


class SystemStatusService(Observer):
    """Looks, and remembers since when each component has been as it is."""

    def __init__(
        self, queue: Queue, clock: Clock, *, launcher: JobLauncher, evaluator: EvaluatorPort, store: ObjectStore
    ) -> None:
        self._queue, self._clock = queue, clock
        self._blocking = Blocking("status", threads=2, limit_s=LOOK_LIMIT_S)
        self._looks: Mapping[str, Look] = {
            "evaluator": lambda: evaluator.get(NOBODY),
            "object_store": lambda: self._blocking(store.stat, NOBODY),
            "ray": lambda: self._blocking(launcher.status, NOBODY),
        }
        self._found: dict[str, ComponentStatus] = {}
        self._looked_s = -LOOK_EVERY_S
        self._looking = asyncio.Lock()
        self._started_s = self._database_since_s = clock.now_s()
        self._database_s: float | None = None  # when it was last read whole, on the monotonic clock
        self._unreadable = 0

    def close(self) -> None:
        """Give up the threads."""
        self._blocking.close()

    def changed(self, before: PipelineRun | None, after: PipelineRun, records: object) -> None:
        """What happens to single runs is not looked at."""

    def looked(self, overview: Overview, news: News) -> None:
        """The database answered."""
        if not self._database_answers():
            self._database_since_s = self._clock.now_s()
        self._database_s = self._clock.monotonic_s()
        self._unreadable = sum(overview.unreadable.values())

    async def run(self) -> None:
        """Look every LOOK_EVERY_S, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._look()

    async def status(self) -> SystemStatus:
        """How it stands, as of the last LOOK_EVERY_S."""
        await self._look()
        waiting, held = self._queue.waiting_and_held
        return SystemStatus(
            start_time_s=self._started_s,
            slots=self._queue.slots,
            slots_held=held,
            runs_waiting=waiting,
            unreadable_records=self._unreadable,
            components=(self._database(), *(self._found[name] for name in self._looks)),
        )

    async def _look(self) -> None:
        async with self._looking:  # many who ask at once cost one look
            if self._clock.monotonic_s() - self._looked_s < LOOK_EVERY_S:
                return
            states = await asyncio.gather(*(_answer(look) for look in self._looks.values()))
            self._looked_s = self._clock.monotonic_s()
        for name, reason in zip(self._looks, states, strict=True):
            self._note(name, reason)

    def _note(self, name: str, reason: str) -> None:
        state = ComponentState.DOWN if reason else ComponentState.UP
        now_s, known = self._clock.now_s(), self._found.get(name)
        same = known is not None and known.state is state
        since_s = known.since_time_s if known is not None and same else now_s
        if not same and (known is not None or reason):
            get_logger(__name__).warning("a component changed", component=name, state=state.value, reason=reason)
        self._found[name] = ComponentStatus(
            name=name, state=state, reason=reason, since_time_s=since_s, check_time_s=now_s
        )

    def _database_answers(self) -> bool:
        last_s = self._database_s
        return last_s is not None and self._clock.monotonic_s() - last_s < DATABASE_LIMIT_S

    def _database(self) -> ComponentStatus:
        now_s = self._clock.now_s()
        if self._database_answers():
            return ComponentStatus(
                name="database", state=ComponentState.UP, since_time_s=self._database_since_s, check_time_s=now_s
            )
        silent_s = 0.0 if self._database_s is None else self._clock.monotonic_s() - self._database_s
        return ComponentStatus(
            name="database",
            state=ComponentState.DOWN,
            reason="DATABASE_UNAVAILABLE",
            since_time_s=self._started_s if self._database_s is None else now_s - silent_s,
            check_time_s=now_s,
        )


async def _answer(look: Look) -> str:
    """Empty for an answer, else the reason that there is none."""
    try:
        async with asyncio.timeout(LOOK_LIMIT_S):
            await look()
    except NotFound:
        return ""
    except RetainError as error:
        return error.reason
    except TimeoutError:
        return "TOO_SLOW"
    except Exception as error:  # noqa: BLE001 - whatever it is: the other components are told
        get_logger(__name__).error("unhandled exception", what="look", exc_info=error)
        return "UNHANDLED"
    return ""
