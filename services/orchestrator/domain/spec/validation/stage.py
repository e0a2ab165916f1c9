"""Faults of one stage, and of the order of the stages."""

from retain.values import CurriculumStrategy, Domain, PipelineSpec, ScheduleKind, ScheduleSpec, StageKind, StageSpec
from retain.values.faults import mismatch
from services.orchestrator.domain.spec.defaults import domains_of
from services.orchestrator.domain.spec.plan import source_of, target_of
from services.orchestrator.domain.spec.validation.checks import Faults
from services.orchestrator.domain.spec.validation.self_replay import check_self_replay

_ORDER = {StageKind.PRETRAIN: 0, StageKind.MIDTRAIN: 1, StageKind.FINETUNE: 2}
LARGEST_SHARE = 0.9  # of all replay together: a stage must also learn something


def check_order(faults: Faults, stages: tuple[StageSpec, ...]) -> None:
    """PRETRAIN at most once and first, then mid-trainings of different domains, then FINETUNE at most once."""
    seen: dict[str, int] = {}
    highest = 0
    for index, stage in enumerate(stages):
        path = f"stages[{index}]"
        if stage.kind is StageKind.UNSPECIFIED:
            faults.add(f"{path}.kind", mismatch("UNSPECIFIED", "PRETRAIN, MIDTRAIN, FINETUNE"))
            continue
        rank = _ORDER[stage.kind]
        if rank < highest:
            faults.add(f"{path}.kind", mismatch(stage.kind, "the order PRETRAIN, MIDTRAIN, FINETUNE"))
        highest = max(highest, rank)
        if stage.name in seen:
            faults.add(path, mismatch(f"a second {stage.name}", f"one (the first is stages[{seen[stage.name]}])"))
        seen.setdefault(stage.name, index)


def check_stage(faults: Faults, given: PipelineSpec, filled: PipelineSpec, index: int, stage: StageSpec) -> None:
    """Faults of one stage: `stage` and `filled` with their defaults, `given` as the user wrote it."""
    path = f"stages[{index}]"
    if stage.kind is StageKind.UNSPECIFIED:
        return
    midtrain = stage.kind is StageKind.MIDTRAIN
    if midtrain and stage.domain is Domain.UNSPECIFIED:
        faults.add(f"{path}.domain", mismatch("UNSPECIFIED", "CODE, MATH or SCIENCE in MIDTRAIN"))
    if not midtrain and stage.domain is not Domain.UNSPECIFIED:
        faults.add(f"{path}.domain", mismatch(stage.domain, "none outside of MIDTRAIN"))
    _check_sources(faults, path, stage)
    check_self_replay(faults, given, filled, index)
    _check_shares(faults, path, given.stages[index], stage, filled, index)
    _check_options(faults, path, stage)
    _check_duration(faults, path, stage)
    faults.positive(f"{path}.learning_rate", stage.learning_rate)
    _check_schedule(faults, f"{path}.schedule", stage.schedule)
    if stage.curriculum.strategy is CurriculumStrategy.STAGED:
        levels = stage.curriculum.levels
        faults.expect(2 <= levels <= 5, f"{path}.curriculum.levels", levels, "2 to 5")
    _check_training(faults, path, stage, filled, index)


def _check_sources(faults: Faults, path: str, stage: StageSpec) -> None:
    role = {StageKind.PRETRAIN: "general", StageKind.MIDTRAIN: "domain", StageKind.FINETUNE: "chat"}[stage.kind]
    faults.source(f"{path}.data.{role}", source_of(stage, target_of(stage)), may_be_self=role == "general")
    if role != "general":
        # Retention of general text is measured and replayed in every later stage.
        faults.source(f"{path}.data.general", stage.data.general, may_be_self=True)
    for other in ("domain", "chat"):
        if other != role and getattr(stage.data, other):
            faults.add(f"{path}.data.{other}", mismatch("a source", f"none outside of {_stage_of(other)}"))
    faults.at_least(f"{path}.data.max_tokens", stage.data.max_tokens, 0)
    for name in stage.data.fields:
        faults.expect(name in ("text", "prompt", "completion", "messages", "difficulty"), f"{path}.data.fields[{name}]",
                      name, "text, prompt, completion, messages, difficulty")  # fmt: skip


def _stage_of(role: str) -> str:
    return "MIDTRAIN" if role == "domain" else "FINETUNE"


def _check_shares(
    faults: Faults, path: str, given: StageSpec, stage: StageSpec, filled: PipelineSpec, index: int
) -> None:
    if given.data.general_share is not None:
        if stage.kind is StageKind.MIDTRAIN:
            faults.share(f"{path}.data.general_share", given.data.general_share, high=LARGEST_SHARE)
        else:
            faults.add(f"{path}.data.general_share", mismatch("a share", "none outside of MIDTRAIN (data.replay)"))
    domains = domains_of(filled.stages[:index])
    known = ("general", *domains, *(("domain",) if domains else ()), *filled.forgetting.retention)
    if stage.kind is StageKind.PRETRAIN:
        if given.data.replay:
            faults.add(f"{path}.data.replay", mismatch("shares", "none in PRETRAIN: it has nothing to replay"))
        return
    for name, share in given.data.replay.items():
        field = f"{path}.data.replay[{name}]"
        faults.expect(name in known, field, name, ", ".join(known))
        faults.share(field, share, high=LARGEST_SHARE)
    total = sum(stage.data.replay.values())
    faults.expect(total <= LARGEST_SHARE, f"{path}.data.replay", total, f"shares of up to {LARGEST_SHARE:g} in all")


def _check_options(faults: Faults, path: str, stage: StageSpec) -> None:
    options, here = stage.domain_options, f"{path}.domain_options"
    for name, domain in (("languages", Domain.CODE), ("difficulty", Domain.MATH), ("fields", Domain.SCIENCE)):
        if getattr(options, name) and stage.domain is not domain:
            faults.add(f"{here}.{name}", mismatch(list(getattr(options, name)), f"none without domain {domain}"))
    if options.difficulty:
        low_to_high = len(options.difficulty) == 2 and 1 <= options.difficulty[0] <= options.difficulty[1] <= 5
        faults.expect(
            low_to_high, f"{here}.difficulty", list(options.difficulty), "[low, high] with 1 <= low <= high <= 5"
        )


def _check_duration(faults: Faults, path: str, stage: StageSpec) -> None:
    given = {"tokens": stage.duration.tokens, "epochs": stage.duration.epochs, "steps": stage.duration.steps}
    faults.one_of(f"{path}.duration", given)
    for unit, amount in given.items():
        if amount is not None:
            faults.positive(f"{path}.duration.{unit}", amount)


def _check_schedule(faults: Faults, path: str, schedule: ScheduleSpec) -> None:
    warmup, decay = schedule.warmup or 0.0, schedule.decay or 0.0
    faults.share(f"{path}.warmup", warmup)
    faults.share(f"{path}.floor", schedule.floor or 0.0)
    faults.share(f"{path}.decay", decay)
    if schedule.kind is ScheduleKind.WSD:  # the other shapes have no decay of their own, whatever the default says
        faults.expect(warmup + decay <= 1, f"{path}.warmup", warmup, f"up to 1 together with decay ({decay:g})")


def _check_training(faults: Faults, path: str, stage: StageSpec, filled: PipelineSpec, index: int) -> None:
    batch, workers = stage.batch, filled.compute.workers
    faults.at_least(f"{path}.batch.sequences", batch.sequences, 1)
    if batch.sequences >= 1 and workers >= 1:
        divides = batch.sequences % workers == 0
        faults.expect(divides, f"{path}.batch.sequences", batch.sequences, f"a multiple of compute.workers ({workers})")
    faults.at_least(f"{path}.batch.micro_sequences", batch.micro_sequences, 0)
    adam = stage.optimizer
    faults.at_least(f"{path}.optimizer.weight_decay", adam.weight_decay or 0.0, 0)
    for name, beta in (("beta1", adam.beta1), ("beta2", adam.beta2)):
        faults.expect(0 <= (beta or 0.0) < 1, f"{path}.optimizer.{name}", beta, "0 up to, not including, 1")
    faults.positive(f"{path}.optimizer.clip", adam.clip or 0.0)
    faults.at_least(f"{path}.lora.rank", stage.lora.rank, 0)
    faults.at_least(f"{path}.lora.alpha", stage.lora.alpha, 0)
    _check_penalty(faults, f"{path}.penalty", stage, filled)
    _check_kept_state(faults, path, filled, index)


def _check_kept_state(faults: Faults, path: str, filled: PipelineSpec, index: int) -> None:
    """The parent's moments fit a stage only where both train the same parameters: all, or adapters of one rank."""
    stage, field = filled.stages[index], f"{path}.optimizer.keep_state"
    if not stage.optimizer.keep_state:
        return
    before = filled.stages[index - 1] if index > 0 else None
    if before is None:
        if filled.model.checkpoint is None:
            faults.add(field, mismatch("true for a stage whose parent has no optimizer state", "false"))
        elif stage.lora.rank:
            got = f"true beside lora.rank {stage.lora.rank}, and the checkpoint of another run is built on"
            faults.add(field, mismatch(got, "false: its moments may be those of other parameters"))
        return
    if before.lora.rank != stage.lora.rank:
        got = f"true with lora.rank {stage.lora.rank} after {before.name} with lora.rank {before.lora.rank}"
        faults.add(field, mismatch(got, "true between stages that train the same parameters alone (equal lora.rank)"))


def _check_penalty(faults: Faults, path: str, stage: StageSpec, filled: PipelineSpec) -> None:
    penalty = stage.penalty
    strengths = {"ewc": penalty.ewc, "l2_sp": penalty.l2_sp, "distill": penalty.distill or 0.0}
    first, random_weights = stage.kind is StageKind.PRETRAIN, filled.model.preset is not None
    for name, strength in strengths.items():
        faults.at_least(f"{path}.{name}", strength, 0)
        if not strength > 0:
            continue
        if first and name != "l2_sp":
            faults.add(f"{path}.{name}", mismatch(f"{strength:g}", "0 in PRETRAIN: it replays no old text"))
        elif first and random_weights:
            faults.add(f"{path}.{name}", mismatch(f"{strength:g} for random weights", "0 without a parent"))
        if stage.lora.rank and name != "distill":
            faults.add(f"{path}.{name}", mismatch(f"{strength:g} beside lora.rank {stage.lora.rank}", "one of them"))
