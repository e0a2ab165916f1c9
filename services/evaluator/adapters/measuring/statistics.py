"""The interval of a score, by the paired bootstrap of model/evaluation/forgetting_score.py."""

from model.evaluation.forgetting_score import bootstrap_interval
from services.evaluator.application.ports import Statistics
from services.evaluator.domain.result import Measurement


class Bootstrap(Statistics):
    """Seeded: the same measurements give the same interval."""

    def interval(self, now: Measurement, baseline: Measurement) -> tuple[float, float] | None:
        if now.unit_tokens != baseline.unit_tokens:
            return None  # not a pair; the score refuses it by name
        found = bootstrap_interval(now.unit_nats, baseline.unit_nats, now.unit_tokens)
        return None if found is None else (found.low, found.high)
