"""Every fault of a spec at once, each with the path of its field, what it got and expected."""

import re

from retain.values import ComputeSpec, ForgettingSpec, GaugeSpec, IntervalSpec, PipelineSpec
from retain.values.faults import mismatch
from services.common.errors import Violation
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.gauges import KINDS, PREFIX
from services.orchestrator.domain.spec.plan import slots_of
from services.orchestrator.domain.spec.presets import PRESETS
from services.orchestrator.domain.spec.validation.checks import Faults
from services.orchestrator.domain.spec.validation.limits import COUNTS, LARGEST_TOKENS
from services.orchestrator.domain.spec.validation.policy import check_interpolation, check_policy
from services.orchestrator.domain.spec.validation.stage import check_order, check_stage

_NAME = re.compile(r"[a-z0-9-]{1,63}")
_SET_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
# Names that the platform itself gives to sets and roles.
RESERVED_SETS = ("general", "domain", "code", "math", "science", "chat")


def validate(
    spec: PipelineSpec, *, base_context: int | None = None, slots: int | None = None, gpus: int | None = None
) -> tuple[Violation, ...]:
    """The faults of a spec as the user gave it; empty when it can be run.

    `base_context` is the longest sequence of an imported model, `slots` the worker slots of this server, `gpus` its
    GPUs, each where it is known. What depends on the lineage (is there a base?) is not a fault of the spec: see
    locking.py.
    """
    faults = Faults()
    faults.within_limits(spec)
    if len(spec.stages) > COUNTS["stages"] or faults.infinite:
        return faults.once_each()  # nothing is filled in for what is too much anyway, nor computed with no number
    filled = fill(spec, base_context=base_context)
    faults.expect(_NAME.fullmatch(spec.name) is not None, "name", spec.name, "1 to 63 characters of a-z, 0-9 and '-'")
    _check_model(faults, spec, filled)
    if not spec.stages:
        faults.add("stages", mismatch("none", "one stage or more"))
    check_order(faults, spec.stages)
    for index, stage in enumerate(filled.stages):
        check_stage(faults, spec, filled, index, stage)
    _check_forgetting(faults, filled.forgetting)
    _check_gauges(faults, spec.forgetting.gauges or GaugeSpec())
    _check_evaluation(faults, spec, filled)
    _check_compute(faults, spec.compute, filled.compute, slots, gpus)
    faults.at_least("checkpoints.keep_last", filled.checkpoints.keep_last, 1)
    _check_lengths(faults, filled)
    faults.not_negative(spec)
    return faults.once_each()


def _check_lengths(faults: Faults, filled: PipelineSpec) -> None:
    """Each number may be within its limit, and the tokens that they come to be more than anybody can count."""
    for index, stage in enumerate(filled.stages):
        steps = stage.duration.steps
        tokens = (steps or 0) * stage.batch.sequences * filled.model.context
        expected = f"steps x sequences x context up to {LARGEST_TOKENS:g} tokens"
        faults.expect(tokens <= LARGEST_TOKENS, f"stages[{index}].duration.steps", steps, expected)


def _check_model(faults: Faults, spec: PipelineSpec, filled: PipelineSpec) -> None:
    model = spec.model
    faults.one_of("model", {"preset": model.preset, "huggingface": model.huggingface, "checkpoint": model.checkpoint})
    if model.preset is not None:
        faults.expect(model.preset in PRESETS, "model.preset", model.preset, ", ".join(PRESETS))
    if model.huggingface is not None:
        faults.expect(bool(model.huggingface), "model.huggingface", model.huggingface, "an s3:// URI or a folder")
    if model.checkpoint is not None:
        is_uri = model.checkpoint.startswith("s3://")
        faults.expect(is_uri, "model.checkpoint", model.checkpoint, "the s3:// URI of a step folder")
    if model.context:
        fine = 8 <= model.context <= 1_048_576
        faults.expect(fine, "model.context", model.context, "8 to 1048576 tokens, or 0 for the model's own")
    elif not filled.model.context and (model.huggingface or model.checkpoint):
        faults.add("model.context", "is required: this server cannot read the model's config.json")
    train = spec.tokenizer.train
    if model.preset is not None and train is None:
        faults.add("tokenizer.train.vocab_size", mismatch("none with model.preset", "512 to 262144"))
    if train is not None:
        faults.expect(
            512 <= train.vocab_size <= 262_144, "tokenizer.train.vocab_size", train.vocab_size, "512 to 262144"
        )
        if model.preset is None and (model.huggingface or model.checkpoint):
            faults.add(
                "tokenizer.train",
                mismatch("a size beside a model that brings its own tokenizer", "none without model.preset"),
            )


def _check_forgetting(faults: Faults, rules: ForgettingSpec) -> None:
    minor, action, stop = rules.minor or 0.0, rules.action or 0.0, rules.stop or 0.0
    faults.positive("forgetting.minor", minor)
    faults.expect(minor < action, "forgetting.action", action, f"a number above minor ({minor:g})")
    faults.expect(action < stop, "forgetting.stop", stop, f"a number above action ({action:g})")
    if rules.budget is not None:
        faults.positive("forgetting.budget", rules.budget)
        faults.expect(rules.budget <= stop, "forgetting.budget", rules.budget, f"a number up to stop ({stop:g})")
    settle = rules.settle if rules.settle is not None else 0.0
    faults.expect(0 <= settle < 1, "forgetting.settle", settle, "0 up to, not including, 1")
    faults.at_least("forgetting.confirm", rules.confirm or 0, 0)
    faults.at_least("forgetting.max_retries", rules.max_retries or 0, 0)
    floor = rules.suspicious_below if rules.suspicious_below is not None else -1.0
    faults.expect(-1 <= floor < 0, "forgetting.suspicious_below", floor, "-1 up to, not including, 0")
    check_policy(faults, rules)
    check_interpolation(faults, rules.interpolation)
    for name, uri in rules.retention.items():
        path = f"forgetting.retention[{name}]"
        fine = _SET_NAME.fullmatch(name) is not None and name not in RESERVED_SETS and not name.startswith(PREFIX)
        taken = f"none of {', '.join(RESERVED_SETS)}, and nothing that begins with {PREFIX}"
        faults.expect(fine, path, name, f"a-z, 0-9, '-', '_', {taken}")
        faults.source(path, uri)


def _check_gauges(faults: Faults, gauges: GaugeSpec) -> None:
    path = "forgetting.gauges"
    if gauges.off and gauges.kinds:
        faults.add(f"{path}.kinds", mismatch(f"{len(gauges.kinds)} beside off", "one of the two"))
    for index, kind in enumerate(gauges.kinds):
        fine = kind in KINDS and kind not in gauges.kinds[:index]
        faults.expect(fine, f"{path}.kinds[{index}]", str(kind), f"each of {', '.join(KINDS)} once")
    if gauges.most_bits_per_byte is not None:
        faults.positive(f"{path}.most_bits_per_byte", gauges.most_bits_per_byte)


def _check_evaluation(faults: Faults, spec: PipelineSpec, filled: PipelineSpec) -> None:
    every: IntervalSpec = filled.evaluation.every
    faults.one_of("evaluation.every", {"tokens": every.tokens, "steps": every.steps})
    amount = every.tokens if every.tokens is not None else every.steps
    faults.at_least("evaluation.every", amount or 0, 1)
    faults.at_least("evaluation.tokens_per_set", filled.evaluation.tokens_per_set, 64)
    lag = spec.evaluation.decision_lag
    faults.expect(lag in (0, 1), "evaluation.decision_lag", lag, "0 or 1")


def _check_compute(
    faults: Faults, given: ComputeSpec, compute: ComputeSpec, slots: int | None, gpus: int | None
) -> None:
    faults.at_least("compute.workers", compute.workers, 1)
    faults.at_least("compute.gpus_per_worker", compute.gpus_per_worker, 0)
    faults.positive("compute.cpus_per_worker", compute.cpus_per_worker)
    within = 0 <= given.min_workers <= compute.workers
    faults.expect(within, "compute.min_workers", given.min_workers, f"1 to workers ({compute.workers}), or 0")
    if slots is not None and compute.workers >= 1 and compute.cpus_per_worker > 0 and slots_of(compute) > slots:
        took = f"{compute.workers} of {compute.cpus_per_worker:g} CPUs each"
        faults.add("compute.workers", mismatch(took, f"what fits into the {slots} slots of this server"))
    wanted = compute.workers * compute.gpus_per_worker
    if gpus is not None and wanted > gpus:
        faults.add("compute.gpus_per_worker", mismatch(f"{wanted:g} GPUs in all", f"the {gpus} of this server"))
