"""Answers one question: reads what was measured before, measures the rest, compares with the baselines."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from services.common.errors import RetainError, Unavailable
from services.common.heart import beat
from services.common.logging import get_logger
from services.evaluator.application.ports import FloorName, Floors, MeasurementName, Measurer, Results, Statistics
from services.evaluator.domain.answer import Answer, Measurement, NoiseFloor, Rows, Score, SetResult, judged_by, score
from services.evaluator.domain.question import Model, Question, Role, SetRef, Use

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Answering:
    """Decides what must be measured. Blocking; called from the measuring thread only."""

    measurer: Measurer
    results: Results
    floors: Floors
    statistics: Statistics
    clock: Callable[[], float] = time.perf_counter

    def answer(self, question: Question, *, with_base: bool = False) -> Answer:
        """A row per set in the order asked, and a score per retention set that has a baseline.

        A baseline is measured in the same way on the same set, so that an untouched model scores exactly 0.
        `with_base`: the base before training is measured too, on the control sets; mostly it is a baseline and known.
        """
        stopwatch = _Stopwatch(self.clock)
        base = self._base(question, stopwatch) if with_base else None
        results, scores = self._rows(question.model, question.sets, question, stopwatch)
        return Answer(results=results, scores=scores, measure_s=stopwatch.seconds, base=base)

    def _base(self, question: Question, stopwatch: "_Stopwatch") -> Rows | None:
        """What cannot be measured of the base costs the history a row, and never the verdict that is waited for."""
        if question.base is None:
            return None
        control = tuple(ref for ref in question.sets if ref.use is Use.CONTROL)
        try:
            results, scores = self._rows(Model(checkpoint=question.base), control, question, stopwatch)
        except Unavailable:
            raise
        except RetainError as error:
            log.warning("the base before training was not measured", run=question.run, error=error.message)
            return None
        return Rows(results=results, scores=scores)

    def _rows(
        self, model: Model, sets: tuple[SetRef, ...], question: Question, stopwatch: "_Stopwatch"
    ) -> tuple[tuple[SetResult, ...], tuple[Score, ...]]:
        rows: list[SetResult] = []
        scores: list[Score] = []
        for ref in sets:
            now = self._measured(model, ref, stopwatch)
            rows.append(SetResult.of(ref, now))
            baseline = question.baseline_of(ref.name) if ref.role is Role.RETENTION else None
            if baseline is not None:
                model_before = Model(checkpoint=baseline.checkpoint)
                before = self._measured(model_before, ref, stopwatch)
                floor = self._floor(model_before, ref) if math.isfinite(before.perplexity) else None
                found = score(ref, now, before, self.statistics.interval(now, before), floor)
                scores.append(judged_by(found, baseline.most_bits_per_byte))
        return tuple(rows), tuple(scores)

    def _floor(self, baseline: Model, ref: SetRef) -> NoiseFloor | None:
        """Measured once for a device, a shape of models and a set. The first one stays: a verdict that is asked for
        again must not change. One that cannot be measured costs the score its floor, and never the verdict."""
        name = FloorName(
            shape=self.measurer.shape(baseline),
            set_digest=ref.digest,
            set_content=self.measurer.identify_set(ref),
            method=self.measurer.floor_method(),
        )
        known = self.floors.get(name)
        if known is not None:
            return known
        beat(f"measuring the noise floor on {ref.name}")
        began_s = self.clock()
        try:
            floor = self.measurer.floor(baseline, ref)
        except Unavailable:
            raise
        except RetainError as error:
            log.warning("the noise floor was not measured", set=ref.name, error=error.message)
            return None
        facts = {"ratio": floor.ratio, "repeats": floor.repeats, "tokens": floor.tokens}
        log.info("noise floor", set=ref.name, use=ref.use, took_s=round(self.clock() - began_s, 3), **facts)
        self.floors.put(name, floor)
        return floor

    def _measured(self, model: Model, ref: SetRef, stopwatch: "_Stopwatch") -> Measurement:
        """Under the digest that was computed from the weights, never under one that somebody claims."""
        beat(f"measuring {model.checkpoint.uri} on {ref.name}")
        name = MeasurementName(
            weights_digest=self.measurer.identify(model),
            set_digest=self.measurer.identify_set(ref),
            method=self.measurer.method(),
        )
        known = self.results.get(name)
        if known is not None:
            return known
        with stopwatch:
            measured = self.measurer.measure(model, ref)
        self.results.put(name, measured)
        return measured


class _Stopwatch:
    """Adds up seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self.seconds, self._began_s = clock, 0.0, 0.0

    def __enter__(self) -> None:
        self._began_s = self._clock()

    def __exit__(self, *_: object) -> None:
        self.seconds += self._clock() - self._began_s
