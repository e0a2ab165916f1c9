"""Everything that an assignment names, brought into memory: weights, optimizer, trainer state, data, and what holds the
weights near the parent's. Every rank loads for itself; the same assignment gives the same bits on each."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from model.checkpointing import checkpoint
from model.checkpointing.hf import load_pretrained
from model.data.shards import TokenShard
from model.dataloader.batch_stream import BatchStream
from model.errors import BadConfig
from model.nn.causal_lm import CausalLM
from model.nn.llama import Llama
from model.nn.lora import add_lora, load_lora_state
from model.tokenization.tokenizer import Tokenizer
from model.training.distillation import Distillation
from model.training.job import StageJob
from model.training.loop import ADAPTER
from model.training.regularizers import Penalties, QuadraticPenalty, fisher, parent_weights
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from services.worker.attempt import convert
from services.worker.attempt.streams import open_stream
from services.worker.local_cache import LocalCache
from services.worker.reporting.heartbeat import beating

# Rows of old text from which EWC learns which weights matter: a few thousand tokens settle the order of the weights.
FISHER_ROWS = 64


def load(
    work: control_pb2.StageWork, cache: LocalCache, *, beat: Callable[[], None] = lambda: None
) -> tuple[StageJob, Tokenizer]:
    """The job of an assignment, everything verified. `beat` is called for every tensor read and every row measured.
    Raises RetainModelError, DamagedCheckpoint and DamagedData."""
    spec, stage = work.spec, work.spec.stages[work.index]
    tokenizer = cache.tokenizer(work.tokenizer)
    resume = cache.checkpoint(work.resume) if work.HasField("resume") else None
    parent = cache.checkpoint(work.parent) if work.HasField("parent") else None
    moments: dict[str, Tensor] = {}
    if resume is not None:
        moments = checkpoint.load_optimizer(resume, beat=beat)
    elif parent is not None and stage.optimizer.keep_state:
        moments = checkpoint.load_optimizer(parent, beat=beat)
    adapters = {name: moments.pop(name) for name in list(moments) if name.startswith(ADAPTER)}
    # Adapters sit beside the parent's weights; a checkpoint of such a stage holds their sum.
    model = _model(work, parent if stage.lora.rank else resume or parent, tokenizer, beat)
    if stage.lora.rank:
        add_lora(
            model, rank=stage.lora.rank, alpha=convert.lora_alpha(stage), seed=convert.stream_seed(spec, work.index)
        )
        if resume is not None:
            load_lora_state(model, {name.removeprefix(ADAPTER): tensor for name, tensor in adapters.items()})
    context = spec.model.context or model.config.context
    if context > model.config.context:
        raise BadConfig("model.context", context, f"at most the model's, {model.config.context}")
    shards = {folder.name: cache.shard(folder) for folder in work.shards}
    stream = open_stream(spec, work.index, shards, target=work.target, shares=work.shares, context=context)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    job = StageJob(
        model=model,
        stream=stream,
        schedule=convert.schedule(stage, work.total_steps),
        optimizer=convert.optimizer(stage),
        steps_per_boundary=work.steps_per_boundary,
        decision_lag=work.decision_lag,
        micro_rows=stage.batch.micro_sequences,
        shares=dict(work.shares),
        lr_scale=work.lr_scale or 1.0,
        resume=checkpoint.load_state(resume) if resume is not None else None,
        optimizer_state=moments or None,
        penalty=_penalty(work, model, parent, shards, context, beat),
        teacher=_teacher(work, model, parent, beat),
        acceleration=convert.acceleration(spec.compute, stage, gpus=torch.cuda.is_available()),
    )
    return job, tokenizer


def _model(
    work: control_pb2.StageWork, folder: Path | None, tokenizer: Tokenizer, beat: Callable[[], None]
) -> CausalLM:
    if folder is not None:
        return load_pretrained(folder / checkpoint.MODEL_FOLDER, beat=beat)
    return Llama(convert.model_config(work.spec, vocab_size=tokenizer.vocab_size), seed=work.spec.seed)


def _penalty(
    work: control_pb2.StageWork,
    model: CausalLM,
    parent: Path | None,
    shards: dict[str, TokenShard],
    context: int,
    beat: Callable[[], None],
) -> Penalties | None:
    """What the stage asks for, or None. Made anew from the parent on every attempt: a resume needs no state of it."""
    asked = work.spec.stages[work.index].penalty
    if not (asked.ewc or asked.l2_sp):
        return None
    if parent is None:
        raise BadConfig("penalty", "a stage that starts from random weights", "a stage with a parent")
    if work.spec.stages[work.index].lora.rank:
        raise BadConfig("penalty", "a penalty and low-rank adapters", "one of the two")
    old = load_pretrained(parent / checkpoint.MODEL_FOLDER, beat=beat).to(next(model.parameters()).device)
    held, penalties = parent_weights(old), []
    if asked.l2_sp:
        penalties.append(QuadraticPenalty(model, held, strength=asked.l2_sp))
    if asked.ewc:
        names = sorted(shards.keys() - {work.target}, key=lambda name: (name != "general", name))
        if not names:
            raise BadConfig("penalty.ewc", "a stage without a source of old text", "a stage that replays one")
        seed = convert.stream_seed(work.spec, work.index)
        text = {names[0]: shards[names[0]]}
        batch = BatchStream(text, target=names[0], shares={}, seed=seed, context=context, rows=FISHER_ROWS).next_batch()
        segments = batch.segments_RT if batch.segments_RT is not None else [None] * FISHER_ROWS
        rows = zip(batch.inputs_RT, batch.targets_RT, segments, strict=True)
        importance = fisher(old, beating(rows, beat))
        penalties.append(QuadraticPenalty(model, held, strength=asked.ewc, importance=importance))
    return Penalties(*penalties)


def _teacher(
    work: control_pb2.StageWork, model: CausalLM, parent: Path | None, beat: Callable[[], None]
) -> Distillation | None:
    """The parent, where the stage asks for its word on replayed text."""
    stage = work.spec.stages[work.index]
    strength = stage.penalty.distill
    if not strength:
        return None
    if parent is None or not work.shares:
        raise BadConfig(
            "penalty.distill", "a stage without a parent or replay", "a stage that replays its parent's text"
        )
    old = load_pretrained(parent / checkpoint.MODEL_FOLDER, beat=beat).to(next(model.parameters()).device)
    return Distillation(old, strength=strength, alone=convert.alone(stage))
