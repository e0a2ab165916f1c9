"""The trial of mixes that an assignment asks for before its stage (model/training/mix_trial.py), on every rank.

The first rank measures and reports; the shares that the orchestrator answers with are the same on all. Everything
follows from the assignment: a group that is killed in the midst has told nothing, and the next one does it all again.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from model.checkpointing import checkpoint
from model.checkpointing.hf import load_pretrained
from model.data.eval_set import EvalSet
from model.data.shards import TokenShard
from model.dataloader.batch_stream import BatchStream
from model.errors import BadConfig, NonFinite
from model.evaluation.perplexity import evaluate_set
from model.nn.causal_lm import CausalLM
from model.training.job import Interruption
from model.training.mix_trial import MixTrial, TrialInterrupted, mixes, simulated
from model.training.process_group import ProcessGroup
from retain.orchestrator.v1 import resources_pb2
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from services.common.errors import Stale
from services.common.logging import get_logger
from services.worker.attempt import convert
from services.worker.leaving import ToldToLeave
from services.worker.local_cache import LocalCache
from services.worker.orchestrator_client import ControlClient
from services.worker.reporting.progress import ProgressReporter


def with_chosen_shares(
    work: control_pb2.StageWork,
    cache: LocalCache,
    group: ProcessGroup,
    *,
    control: ControlClient | None,
    progress: ProgressReporter | None,
) -> control_pb2.StageWork:
    """The assignment with the shares that were chosen; as it is where nothing is to be tried. `control` and `progress`
    on the first rank only. Raises BadConfig for a model that adapters cannot be put beside, Stale, ToldToLeave, and
    what loading raises."""
    if not work.HasField("mix_trial"):
        return work
    started = time.monotonic()
    beat = progress.beat if progress is not None else cache.content.beat
    shards = group.run_on_all(lambda: {folder.name: cache.shard(folder) for folder in work.shards})
    parent = group.run_on_all(lambda: cache.checkpoint(work.parent))
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def start() -> CausalLM:
        return load_pretrained(parent / checkpoint.MODEL_FOLDER, beat=beat).to(device)

    def interrupted() -> Interruption:
        if progress is not None and progress.fenced:
            return Interruption.FENCED
        return Interruption.LEAVE if control is not None and control.leaving.asked else Interruption.NONE

    target, old, rows = _streams(work, shards)
    try:
        ends = simulated(start, target, old, _settings(work, beat, interrupted), group)
    except TrialInterrupted as told:
        if told.why is Interruption.FENCED:
            raise Stale("the attempt was fenced off") from told
        raise ToldToLeave("the workers were told to leave while mixes were tried: nothing was chosen") from told

    def choose() -> dict[str, float]:
        assert control is not None, "the first rank"
        assert ends is not None, "the first rank"
        points, tokens = _measured(work, cache, start, ends, beat), 2 * work.mix_trial.steps * rows * _context(work)
        return _reported(work, control, points, tokens, time.monotonic() - started)

    return _with_shares(work, group.run_on_rank_zero(choose))


def _reported(
    work: control_pb2.StageWork,
    control: ControlClient,
    points: list[resources_pb2.MixPoint],
    tokens: int,
    seconds: float,
) -> dict[str, float]:
    """The shares that the orchestrator chose by what was measured."""
    request = control_pb2.ReportMixTrialRequest(
        attempt=work.attempt, stage_index=work.index, points=points, tokens=tokens, seconds=seconds
    )
    answer = control.report_mix_trial(request)
    get_logger(__name__).info("mixes were tried", why=answer.message, attempt=work.attempt)
    return dict(answer.shares)


def _with_shares(work: control_pb2.StageWork, shares: Mapping[str, float]) -> control_pb2.StageWork:
    chosen = control_pb2.StageWork()
    chosen.CopyFrom(work)
    for name, share in shares.items():
        chosen.shares[name] = share
    return chosen


def _settings(
    work: control_pb2.StageWork, beat: Callable[[], None], interrupted: Callable[[], Interruption]
) -> MixTrial:
    stage, asked = work.spec.stages[work.index], work.mix_trial
    computed = convert.acceleration(work.spec.compute, stage, gpus=torch.cuda.is_available())
    return MixTrial(
        steps=asked.steps,
        learning_rate=asked.learning_rate,
        rank=asked.rank,
        seed=convert.stream_seed(work.spec, work.index),
        micro_rows=stage.batch.micro_sequences,
        acceleration=replace(computed, sharded=False, compile=False),  # a few steps; adapters are not sharded
        beat=beat,
        interrupted=interrupted,
    )


def _streams(work: control_pb2.StageWork, shards: Mapping[str, TokenShard]) -> tuple[BatchStream, BatchStream, int]:
    """The target alone, old text alone in the proportions of the spec, and the rows of a batch."""
    shares = {name: share for name, share in sorted(work.shares.items()) if share > 0}
    if not shares:
        raise BadConfig("forgetting.controller", "OP_MIX in a stage that replays nothing", "a share of old text")
    first, rows = next(iter(shares)), convert.rows(work.spec.stages[work.index])

    def stream(name: str, others: Mapping[str, float]) -> BatchStream:
        return BatchStream(
            {one: shards[one] for one in (name, *others)},
            target=name,
            shares=dict(others),
            seed=convert.stream_seed(work.spec, work.index),
            context=_context(work),
            rows=rows,
        )

    whole = math.fsum(shares.values())
    rest = {name: share / whole for name, share in shares.items() if name != first}
    return stream(work.target, {}), stream(first, rest), rows


def _context(work: control_pb2.StageWork) -> int:
    return work.spec.model.context


def _measured(
    work: control_pb2.StageWork,
    cache: LocalCache,
    start: Callable[[], CausalLM],
    ends: tuple[CausalLM, CausalLM],
    beat: Callable[[], None],
) -> list[resources_pb2.MixPoint]:
    """Each mix on the control sets, against the model before the stage. One with a loss that is no number is left out:
    nothing can be chosen by it; so is a set that the model never knew."""
    sets = {ref.name: cache.eval_set(ref) for ref in work.mix_trial.sets}
    present, most = start(), work.mix_trial.most_bits_per_byte
    measured = {name: _measure(present, one, beat) for name, one in sets.items()}
    before = {name: nats for name, (nats, bits) in measured.items() if bits <= most.get(name, math.inf)}
    sets = {name: sets[name] for name in before}
    points = []
    for share, model in mixes(ends, tuple(work.mix_trial.shares)):
        now = {name: _measure(model, one, beat)[0] for name, one in sets.items()}
        forgotten = {name: now[name] - before[name] for name in sets if name != work.target}
        if all(math.isfinite(nats) for nats in (now[work.target], *forgotten.values())):
            point = resources_pb2.MixPoint(share=share, target_loss_nats=now[work.target], forgetting_nats=forgotten)
            points.append(point)
    return points


def _measure(model: CausalLM, eval_set: EvalSet, beat: Callable[[], None]) -> tuple[float, float]:
    """Nats a token and bits a byte; NaN and infinity where the loss is no number."""
    try:
        found = evaluate_set(model, eval_set, on_tokens=lambda _: beat())
    except NonFinite:
        return math.nan, math.inf
    return found.loss_nats, found.bits_per_byte
