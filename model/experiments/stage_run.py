"""One run: the parent is loaded, the stage is trained under its gate, and what came out is measured.

Every arm spends the same tokens. What a Fisher estimate reads and what a rollback throws away is counted: the stage is
made so much shorter that all of it together fits. How much a gate will throw away is only known afterwards, so such an
arm is played again with fewer steps, the schedule in proportion, if its model was accepted; the row tells how often.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from model.checkpointing.hf import load_pretrained, save_pretrained
from model.dataloader.batch_stream import BatchStream
from model.dataloader.curriculum import CurriculumSpec, Strategy
from model.errors import BadCheckpoint, NonFinite
from model.experiments.arms import BOUNDARIES, Arm
from model.experiments.choice.points import measure_kinds
from model.experiments.choice.trial import try_mixes
from model.experiments.corpora import BASE_MODEL, Corpus, Sizes, open_corpus
from model.experiments.gate import Gate, GateFactory, gate_of
from model.experiments.measuring import CONTROL, REPORT, Ruler, as_row, baseline
from model.experiments.self_text import self_shard
from model.nn.causal_lm import CausalLM
from model.nn.interpolation import interpolate
from model.nn.lora import add_lora
from model.training.distillation import Distillation
from model.training.job import Directive, Interruption, Snapshot, StageJob, StepProgress
from model.training.loop import train_stage
from model.training.lr_schedule import Schedule, ScheduleKind
from model.training.optimizer import OptimizerSettings
from model.training.regularizers import QuadraticPenalty, fisher, parent_weights

FISHER_ROWS = 64
POINTS = (0.6, 0.8, 0.9, 0.95)  # of the line from parent (0) to result (1) that are measured at the end
MEASURED_WITHOUT_GATE = (1, 2, 5)  # boundaries; the last one is always measured
FORWARD_PART = 1 / 3  # of a training step's work that a forward pass is: 2 of 6 operations a weight and token
LIKELY_SHARE = 0.35  # of replay under a gate: what a first play assumes of the parent's work, put right afterwards
TRIAL_PART = 0.2  # of a stage that a trial of mixes costs: what a first play assumes, put right afterwards
PLAYS = 3  # most attempts at fitting a gated arm into its tokens
LORA_ALPHA_PER_RANK = 2


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where runs read and write: the shared data, the folder of results, how long new sets may be, who makes gates."""

    shared: Path
    root: Path
    sizes: Sizes = field(default_factory=Sizes)
    factory: GateFactory | None = None
    on_steps: Callable[[int], None] = lambda steps: None

    @property
    def models(self) -> Path:
        """Weights of finished runs, by digest."""
        return self.root / "models"

    def corpus(self, name: str, arm: Arm) -> Corpus:
        """A corpus at the arm's context; of the arm's own domain only its documents."""
        documents, sizes, root = arm.documents if name == arm.domain else 0, self.sizes, self.root / "corpora"
        if arm.control_tokens < sizes.control_tokens:
            sizes, root = replace(sizes, control_tokens=arm.control_tokens), root / f"control-{arm.control_tokens}"
        corpus = open_corpus(name, shared=self.shared, root=root, context=arm.context, documents=documents, sizes=sizes)
        if name == "general" and arm.replay == "self":  # measured on real text all the same
            return replace(corpus, shard=self_shard(arm, shared=self.shared, root=self.root))
        return corpus

    def load(self, arm: Arm | None) -> CausalLM:
        """The weights of a finished run, or of the pre-trained model. Raises BadCheckpoint when the run is missing."""
        folder = self.shared / BASE_MODEL if arm is None else self.models / arm.digest
        if not folder.is_dir():
            raise BadCheckpoint(str(folder), "no such folder", "a finished run, or the shared data")
        return load_pretrained(folder)


@dataclass(kw_only=True)
class _Ports:
    """Keeps the snapshots, measures at boundaries, asks the gate."""

    gate: Gate
    ruler: Ruler
    last_step: int
    every_boundary: bool
    on_steps: Callable[[int], None]
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    final: list[dict[str, Any]] = field(default_factory=list)
    spent_steps: int = 0
    trial_tokens: int = 0
    replayed_steps: float = 0.0  # sum of the replay shares of all steps
    at: StepProgress | None = None

    def beat(self) -> None:
        """Nobody waits for it here."""

    def interrupted(self) -> Interruption:
        return Interruption.NONE

    def leave(self, snapshot: Snapshot | None) -> None:
        """Nobody interrupts an experiment."""

    def progress(self, progress: StepProgress) -> None:
        self.spent_steps, self.at = self.spent_steps + 1, progress
        self.replayed_steps += sum(progress.shares.values())
        self.on_steps(1)

    def publish(self, snapshot: Snapshot) -> None:
        self.snapshots[snapshot.boundary] = snapshot

    def directive(self, boundary: int) -> Directive:
        snapshot = self.snapshots[boundary]
        step, last = snapshot.state.step, snapshot.state.step >= self.last_step
        sets = []
        if self.every_boundary or last or boundary in MEASURED_WITHOUT_GATE:
            sets = self.ruler.measure(snapshot.model, CONTROL)
        report = self.ruler.measure(snapshot.model, REPORT) if last else []
        given = self.gate.judge(boundary, step, snapshot.loss_nats, [*sets, *report])
        if sets:
            seen = {"step": step, "spent_steps": self.spent_steps, "verdict": str(given.verdict)}
            mix = {"shares": dict(snapshot.state.shares), "lr_scale": snapshot.state.lr_scale}
            self.history.append(seen | mix | {"sets": as_row(sets)})
        if last:
            of_target = {
                "nats": report[0].unit_nats,
                "tokens": report[0].unit_tokens,
            }  # the ruler's first is the target
            self.final.append(
                {"point": 1.0, CONTROL: as_row(sets), REPORT: as_row(report), "target_documents": of_target}
            )
        return given


def run_arm(arm: Arm, bench: Bench, *, points: Sequence[float] = POINTS) -> dict[str, Any]:
    """Play an arm and save its weights. The row has the arm, its outcome, the history of the control sets, and for
    each of `points` of the line to the parent (and 1, the result itself) both kinds of sets."""
    started = time.perf_counter()
    parent = bench.load(arm.parent)
    corpora = {name: bench.corpus(name, arm) for name in {arm.domain, *arm.retention_sets}}
    ruler = _ruler(arm, bench, parent, corpora)
    extra_tokens = FISHER_ROWS * arm.context if arm.penalty == "ewc" else 0
    steps = arm.steps - -(-extra_tokens // (arm.rows * arm.context))
    if arm.gate.controller == "OP_MIX":
        steps = int(steps / (1 + TRIAL_PART))
    if arm.count_teacher:
        likely = max(arm.general_share, LIKELY_SHARE if arm.gate.controller else 0.0)
        steps = int(steps / (1 + FORWARD_PART * likely))
    for plays in range(1, PLAYS + 1):  # noqa: B007 (told in the row)
        played = replace(arm, steps=steps)
        gate = gate_of(played, bench.factory)
        ports = _play(played, gate, bench, ruler, corpora)
        teacher_tokens = round(FORWARD_PART * ports.replayed_steps * arm.rows * arm.context) if arm.count_teacher else 0
        spent = extra_tokens + ports.trial_tokens + ports.spent_steps * arm.rows * arm.context + teacher_tokens
        if spent <= arm.tokens or gate.outcome != "ACCEPTED":
            break
        steps = max(BOUNDARIES, steps * arm.tokens // spent)
    result = ports.snapshots[max(ports.snapshots)].model if ports.snapshots else None
    measured = []
    if result is not None and ports.final:
        line = reversed(points) if arm.measure_line else ()
        measured = [ports.final[-1], *(_at(point, parent, result, ruler) for point in line)]
        if arm.point_kinds:
            measured += measure_kinds(parent, ports.snapshots, arm, ruler)
        save_pretrained(result, bench.models / arm.digest)
    return {
        "digest": arm.digest,
        "arm": arm.as_dict(),
        "outcome": gate.outcome,
        "plays": plays,
        "steps": steps,
        "tokens": spent,
        "history": ports.history,
        "points": measured,
        "decisions": gate.decisions,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _play(arm: Arm, gate: Gate, bench: Bench, ruler: Ruler, corpora: dict[str, Corpus]) -> _Ports:
    """Attempt after attempt until the gate ends the stage."""
    gated = bool(arm.gate.controller)
    ports = _Ports(gate=gate, ruler=ruler, last_step=arm.steps, every_boundary=gated, on_steps=bench.on_steps)
    while (start := gate.begin()) is not None:
        if start.trial is not None:
            mixes, tokens = try_mixes(start.trial, arm, lambda: bench.load(arm.parent), ruler, corpora)
            ports.trial_tokens += tokens
            start = gate.tried(mixes, tokens)
        kept = ports.snapshots.get(start.boundary)
        ports.snapshots = {at: one for at, one in ports.snapshots.items() if at <= start.boundary}
        model = _model_at(arm, bench, kept)
        job = StageJob(
            model=model,
            stream=_stream(arm, corpora),
            schedule=Schedule(kind=ScheduleKind.LINEAR, total_steps=arm.steps, warmup=arm.warmup),
            optimizer=OptimizerSettings(learning_rate=arm.learning_rate),
            steps_per_boundary=arm.steps_per_boundary,
            shares=start.shares,
            lr_scale=start.lr_scale,
            resume=None if kept is None else kept.state,
            optimizer_state=None if kept is None else kept.optimizer,
            penalty=_penalty(arm, model, bench, corpora["general"]),
            teacher=_teacher(arm, bench),
            micro_rows=arm.rows,
        )
        try:
            train_stage(job, ports)
        except NonFinite as error:
            gate.broke(ports.at.step if ports.at else 0, str(error))
    return ports


def _model_at(arm: Arm, bench: Bench, kept: Snapshot | None) -> CausalLM:
    model = bench.load(arm.parent)
    if kept is not None:
        model.load_state_dict(kept.model.state_dict())
    if arm.lora_rank:
        add_lora(model, rank=arm.lora_rank, alpha=LORA_ALPHA_PER_RANK * arm.lora_rank, seed=arm.seed)
    return model


def _stream(arm: Arm, corpora: dict[str, Corpus]) -> BatchStream:
    curriculum = None
    if arm.order != "random":
        curriculum = CurriculumSpec(strategy=Strategy.STAGED, reverse=arm.order == "hard_to_easy")
    return BatchStream(
        {name: corpus.shard for name, corpus in corpora.items()},
        target=arm.domain,
        shares=arm.shares,
        seed=arm.seed,
        context=arm.context,
        rows=arm.rows,
        curriculum=curriculum,
    )


def _penalty(arm: Arm, model: CausalLM, bench: Bench, general: Corpus) -> QuadraticPenalty | None:
    if arm.penalty not in ("ewc", "l2_sp"):
        return None
    parent = bench.load(arm.parent)
    importance = None
    if arm.penalty == "ewc":
        replay = BatchStream(
            {"general": general.shard},
            target="general",
            shares={},
            seed=arm.seed,
            context=arm.context,
            rows=FISHER_ROWS,
        ).next_batch()
        importance = fisher(parent, ((i, t, None) for i, t in zip(replay.inputs_RT, replay.targets_RT, strict=True)))
    return QuadraticPenalty(model, parent_weights(parent), strength=arm.strength, importance=importance)


def _teacher(arm: Arm, bench: Bench) -> Distillation | None:
    if arm.penalty != "distill":
        return None
    return Distillation(bench.load(arm.parent), strength=arm.strength, alone=("general",) if arm.alone else ())


def _ruler(arm: Arm, bench: Bench, parent: CausalLM, corpora: dict[str, Corpus]) -> Ruler:
    base = parent if arm.parent is None else bench.load(None)
    key = "base" if arm.parent is None else arm.parent.digest
    baselines = {}
    for use in (CONTROL, REPORT):
        baselines[arm.domain, use] = baseline(parent, key, corpora[arm.domain], use, bench.root)
        for name in arm.retention_sets:
            model, whose = (base, "base") if name == "general" else (parent, key)
            baselines[name, use] = baseline(model, whose, corpora[name], use, bench.root)
    retention = {name: corpora[name] for name in arm.retention_sets}
    return Ruler(target=corpora[arm.domain], retention=retention, baselines=baselines)


def _at(point: float, parent: CausalLM, result: CausalLM, ruler: Ruler) -> dict[str, Any]:
    between = interpolate(parent, result, point)
    return {"point": point, **{use: as_row(ruler.measure(between, use)) for use in (CONTROL, REPORT)}}


def one_thread() -> None:
    """Computes on one core, always in the same order."""
    torch.set_num_threads(1)
