"""Answers one question: reads what was measured before, measures the rest, compares with the baselines."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from services.evaluator.application.ports import Measurer, Results, Statistics
from services.evaluator.domain.answer import Answer, Measurement, SetResult, score
from services.evaluator.domain.question import Model, Question, Role, SetRef


@dataclass(frozen=True, kw_only=True)
class Answering:
    """Decides what must be measured. Blocking; called from the measuring thread only."""

    measurer: Measurer
    results: Results
    statistics: Statistics
    clock: Callable[[], float] = time.perf_counter

    def answer(self, question: Question) -> Answer:
        """A row per set in the order asked, and a score per retention set that has a baseline.

        A baseline is measured in the same way on the same set, so that an untouched model scores exactly 0.
        """
        measure_s = 0.0
        rows: list[SetResult] = []
        scores = []
        for ref in question.sets:
            now, seconds = self._measured(question.model, ref)
            measure_s += seconds
            rows.append(SetResult.of(ref, now))
            baseline = question.baseline_of(ref.name) if ref.role is Role.RETENTION else None
            if baseline is not None:
                before, seconds = self._measured(Model(checkpoint=baseline), ref)
                measure_s += seconds
                scores.append(score(ref, now, before, self.statistics.interval(now, before)))
        return Answer(results=tuple(rows), scores=tuple(scores), measure_s=measure_s)

    def _measured(self, model: Model, ref: SetRef) -> tuple[Measurement, float]:
        known = self.results.get(model.weights_digest, ref.digest)
        if known is not None:
            return known, 0.0
        began = self.clock()
        measured = self.measurer.measure(model, ref)
        seconds = self.clock() - began
        self.results.put(model.weights_digest, ref.digest, measured)
        return measured, seconds
