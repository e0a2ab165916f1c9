"""The intervals of scores: of forgetting by the paired bootstrap of model/evaluation/forgetting_score.py, of the probe
by model/evaluation/paired_interval.py."""

from model.evaluation.forgetting_score import bootstrap_interval
from model.evaluation.paired_interval import paired_interval
from services.evaluator.application.ports import Statistics
from services.evaluator.domain.result import Measurement


class Bootstrap(Statistics):
    """Seeded: the same measurements give the same interval."""

    def interval(self, now: Measurement, baseline: Measurement) -> tuple[float, float] | None:
        if now.unit_tokens != baseline.unit_tokens:
            return None  # not a pair; the score refuses it by name
        found = bootstrap_interval(now.unit_nats, baseline.unit_nats, now.unit_tokens)
        return None if found is None else (found.low, found.high)

    def paired_interval(self, *, lost: int, gained: int, items: int) -> tuple[float, float]:
        return paired_interval(lost, gained, items)
