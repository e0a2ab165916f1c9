"""Asks the probe's items of a checkpoint and of its stage's start, and compares them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retain.values import EvaluationRequest, ProbeReport, ProbeRequest
from services.common.concurrency.heart import beat
from services.common.errors import RetainError, StorageFull, Unavailable
from services.common.logging import get_logger
from services.evaluator.application.ports import Measurer, ProbeName, Prober, Probes, Statistics
from services.evaluator.domain.probe import probe_report
from services.evaluator.domain.request import Model

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class AskProbe:
    """Asks each model once. Blocking; called from the measuring thread only."""

    measurer: Measurer
    prober: Prober
    answers: Probes
    statistics: Statistics

    def report(self, request: EvaluationRequest) -> ProbeReport | None:
        """None where no probe is asked for. What cannot be asked (a model that is too slow, a tokenizer that cannot be
        used) costs the stage its probe, which is said, and never the verdict that is waited for."""
        settings, base = request.probe, request.base
        if settings is None or base is None:
            return None
        method = self.prober.probe_method()
        digest = hashlib.sha256(method.encode()).hexdigest()
        try:
            before = self._answers(Model(checkpoint=base), settings, None)
            now = self._answers(Model.of(request), settings, sorted(before))
        except (Unavailable, StorageFull):
            raise  # asked again when it is back
        except RetainError as error:
            log.warning("the probe was not asked", run=request.run_id, error=error.message)
            return ProbeReport(not_measured=error.message, digest=digest)

        def interval(lost: int, gained: int, items: int) -> tuple[float, float]:
            return self.statistics.paired_interval(lost=lost, gained=gained, items=items)

        return probe_report(now, before, digest=digest, interval=interval)

    def _answers(self, model: Model, settings: ProbeRequest, only: Sequence[str] | None) -> Mapping[str, bool]:
        """Under the digest that was computed from the weights, as measurements are kept."""
        beat(f"asking {model.checkpoint.uri} the probe")
        name = ProbeName(
            weights_digest=self.measurer.identify(model),
            answer_tokens=settings.answer_tokens,
            method=self.prober.probe_method(),
            asked="" if only is None else hashlib.sha256("\n".join(only).encode()).hexdigest(),
        )
        known = self.answers.get(name)
        if known is None:
            known = self.prober.probe(model, settings, only)
            self.answers.put(name, known)
        return known
