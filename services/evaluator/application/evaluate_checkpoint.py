"""Evaluates one checkpoint: reads what was measured before, measures the rest, compares with the baselines."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from retain.values import EvalSetRef, EvaluationRequest, ForgettingScore, SetResult, SetRole, SetUse
from services.common.concurrency.heart import beat
from services.common.errors import RetainError, Unavailable
from services.common.logging import get_logger
from services.evaluator.application.ask_probe import AskProbe
from services.evaluator.application.ports import FloorName, Floors, MeasurementName, Measurements, Measurer, Statistics
from services.evaluator.domain.request import Model, baseline_of
from services.evaluator.domain.result import (
    EvaluationResult,
    Measurement,
    NoiseFloor,
    Rows,
    judged_by,
    score,
    set_result,
)

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluateCheckpoint:
    """Decides what must be measured. Blocking; called from the measuring thread only."""

    measurer: Measurer
    results: Measurements
    floors: Floors
    statistics: Statistics
    probe: AskProbe | None = None
    clock: Callable[[], float] = time.perf_counter

    def run(self, request: EvaluationRequest, *, with_base: bool = False) -> EvaluationResult:
        """A row per set in the order asked, and a score per retention set that has a baseline.

        A baseline is measured in the same way on the same set, so that an untouched model scores exactly 0.
        `with_base`: the base before training is measured too, on the control sets; mostly it is a baseline and known.
        """
        stopwatch = _Stopwatch(self.clock)
        base = self._base(request, stopwatch) if with_base else None
        results, scores = self._rows(Model.of(request), request.sets, request, stopwatch)
        probe = self.probe.report(request) if self.probe is not None else None
        return EvaluationResult(results=results, scores=scores, measure_s=stopwatch.seconds, base=base, probe=probe)

    def _base(self, request: EvaluationRequest, stopwatch: "_Stopwatch") -> Rows | None:
        """What cannot be measured of the base costs the history a row, and never the verdict that is waited for."""
        if request.base is None:
            return None
        control = tuple(ref for ref in request.sets if ref.use is SetUse.CONTROL)
        try:
            results, scores = self._rows(Model(checkpoint=request.base), control, request, stopwatch)
        except Unavailable:
            raise
        except RetainError as error:
            log.warning("the base before training was not measured", run=request.run_id, error=error.message)
            return None
        return Rows(results=results, scores=scores)

    def _rows(
        self, model: Model, sets: tuple[EvalSetRef, ...], request: EvaluationRequest, stopwatch: "_Stopwatch"
    ) -> tuple[tuple[SetResult, ...], tuple[ForgettingScore, ...]]:
        rows: list[SetResult] = []
        scores: list[ForgettingScore] = []
        for ref in sets:
            now = self._measured(model, ref, stopwatch)
            rows.append(set_result(ref, now))
            baseline = baseline_of(request, ref.name) if ref.role is SetRole.RETENTION else None
            if baseline is not None:
                model_before = Model(checkpoint=baseline.checkpoint)
                before = self._measured(model_before, ref, stopwatch)
                floor = self._floor(model_before, ref) if math.isfinite(before.perplexity) else None
                floor = floor and floor.at_loss(before.loss_nats)
                found = score(ref, now, before, self.statistics.interval(now, before), floor)
                scores.append(judged_by(found, baseline.most_bits_per_byte))
        return tuple(rows), tuple(scores)

    def _floor(self, baseline: Model, ref: EvalSetRef) -> NoiseFloor | None:
        """Measured once for a device, a shape of models and a set (why not for the weights: see
        model/evaluation/noise_floor.py). The first one stays: a verdict that is asked for again must not change. One
        that cannot be measured costs the score its floor, and never the verdict."""
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
        log.info("noise floor", set=ref.name, use=ref.use.lower(), took_s=round(self.clock() - began_s, 3), **facts)
        self.floors.put(name, floor)
        return floor

    def _measured(self, model: Model, ref: EvalSetRef, stopwatch: "_Stopwatch") -> Measurement:
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
