"""What users do with runs: create, look, end, resume, delete."""

import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from retain.values import (
    ApproveAction,
    BoundaryCost,
    Decision,
    PipelineSpec,
    QueueForecast,
    QuotaUse,
    StageKind,
    StageNeeds,
)
from retain.values.faults import mismatch
from services.common.concurrency.blocking import Blocking
from services.common.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    InvalidTransition,
    NotFound,
    Violation,
)
from services.orchestrator.application.ports import (
    RECORDS,
    BaseReader,
    NewRun,
    Page,
    RunUnreadable,
    StoredRun,
    UnreadableRun,
)
from services.orchestrator.application.projects.scope import ScopedRunStore, chosen_project
from services.orchestrator.application.projects.service import ProjectService
from services.orchestrator.application.queue import Queue
from services.orchestrator.application.run_store import stale
from services.orchestrator.application.sources import SourcePolicy
from services.orchestrator.domain.handlers.lifecycle import new_run
from services.orchestrator.domain.policy.fair_queue import LARGEST_PRIORITY
from services.orchestrator.domain.run.events import Approved, Cancelled, Retried, SpecUpdated
from services.orchestrator.domain.run.speeds import measured_speeds
from services.orchestrator.domain.run.state import Checkpoint, CheckpointState, PipelineRun, RunState
from services.orchestrator.domain.spec.boundary_cost import boundary_cost
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.locking import missing_base
from services.orchestrator.domain.spec.model_size import Sizes, sizes_of_preset
from services.orchestrator.domain.spec.needs.stage_needs import needs_of, too_large
from services.orchestrator.domain.spec.plan import PlannedStage, plan, slots_of
from services.orchestrator.domain.spec.teacher import UNKNOWN_MEMORY, Memory
from services.orchestrator.domain.spec.validation.validate import validate

MOST_UNSETTLED = 200  # that are looked through for alerts
RUNS_LOOKED_AT = 20  # for the speeds that a plan's costs rest on
READ_LIMIT_S = 45.0  # for the config.json of a model that a spec names
_FIRST_DIGEST = re.compile(r"[0-9a-f]{64}")
WATCH_EVERY_S = 30.0  # a watcher whose wake-up was lost looks again after so long


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A spec that was checked: filled with its plan, or its faults. `locked` says what would unlock it; `sizes` of its
    model, None where they are not known yet; `needs` of each stage."""

    spec: PipelineSpec
    stages: tuple[PlannedStage, ...] = ()
    violations: tuple[Violation, ...] = ()
    locked: str | None = None
    base: Checkpoint | None = None
    sizes: Sizes | None = None
    needs: tuple[StageNeeds, ...] = ()

    @property
    def parameters(self) -> int:
        """About how many the model has; 0: that cannot be known yet."""
        return self.sizes.parameters if self.sizes else 0


class RunService:
    """The use cases of OrchestratorService."""

    def __init__(
        self,
        run_store: ScopedRunStore,
        queue: Queue,
        bases: BaseReader,
        projects: ProjectService,
        *,
        store_uri: str,
        memory: Memory = UNKNOWN_MEMORY,
        sources: SourcePolicy | None = None,
        gpus: int | None = None,
        on_delete: Callable[[str, RunState], None] = lambda run_id, status: None,
    ) -> None:
        self._run_store = run_store
        self._queue = queue
        self._projects = projects
        self._bases = bases
        self._reading = Blocking("store", threads=2, limit_s=READ_LIMIT_S)
        self._store_uri = store_uri
        self.memory = memory
        self._sources, self._gpus = sources or SourcePolicy(store_uri=store_uri), gpus
        self._on_delete = on_delete

    def close(self) -> None:
        """Give up the threads."""
        self._reading.close()

    async def check(self, spec: PipelineSpec, faults: Sequence[Violation] = (), *, project: str = "") -> Checked:
        """The plan of a spec for a project, or every fault at once. `faults` were found while the message was read."""
        base, locked, context = None, None, None
        refused = self._sources.violations(spec, chosen_project(project))
        if not refused:  # nothing is opened for a spec that names what it may not
            if spec.model.checkpoint:
                base, locked = await self._base(spec.model.checkpoint)
            context = await self._context(spec, base)
        found = (*faults, *validate(spec, base_context=context, slots=self._queue.slots, gpus=self._gpus), *refused)
        if found:
            return Checked(spec=spec, violations=found)
        kind = base.kind if base else (StageKind.PRETRAIN if spec.model.huggingface else None)
        locked = locked or missing_base(spec, base_kind=kind)
        sizes = await self._sizes(spec, base)
        filled = fill(spec, base_context=context, parameters=sizes.parameters if sizes else 0, memory=self.memory)
        stages = plan(filled)
        needs = needs_of(filled, stages, sizes, self.memory)
        return Checked(
            spec=filled, stages=stages, violations=too_large(needs), locked=locked, base=base, sizes=sizes, needs=needs
        )

    async def costs(self, checked: Checked) -> tuple[BoundaryCost | None, ...]:
        """What the boundaries of each stage will cost, by what the last runs measured."""
        repository = self._run_store.repository
        page = await self._run_store.read(repository.list_runs, limit=RUNS_LOOKED_AT)
        speeds = measured_speeds(run for run in page.items if isinstance(run, PipelineRun))
        return tuple(boundary_cost(checked.spec, stage, checked.parameters, speeds) for stage in checked.stages)

    async def forecast(self, checked: Checked, project: str, priority: int) -> QueueForecast:
        """Where the run would stand, and what its project has left. Raises InvalidInput, NotFound."""
        project = chosen_project(project)
        slots = slots_of(checked.spec.compute)
        quotas = await self._projects.quotas(project, runs=1, slots=slots)
        stands = self._queue.forecast(project, slots=slots, priority=priority)
        return QueueForecast(
            project=project,
            position=stands.position,
            slots_ahead=stands.slots_ahead,
            slots_wanted=slots,
            slots_free=stands.free,
            slots=self._queue.slots,
            quotas=tuple(QuotaUse(quota=q.quota, limit=q.limit, used=q.used, asked=q.asked) for q in quotas),
        )

    async def create(
        self,
        spec: PipelineSpec,
        request_id: str,
        *,
        digest: str,
        faults: Sequence[Violation] = (),
        project: str = "",
        priority: int = 0,
    ) -> PipelineRun:
        """A new run, or the one that this request made before. `digest` names the request's content.

        Raises FailedPrecondition (QuotaExceeded too), InvalidInput, or NotFound for the project.
        """
        project = self._projects.get(chosen_project(project)).name
        if request_id and (known := await self._answered(request_id, digest, spec, project)):
            return known
        checked = await self.check(spec, (*faults, *_priority_faults(priority)), project=project)
        if checked.violations:
            raise InvalidInput(checked.violations, reason="INVALID_SPEC")
        if checked.locked:
            raise FailedPrecondition(checked.locked, reason="STAGE_LOCKED")
        state = new_run(
            f"{spec.name[:48].strip('-') or 'run'}-{secrets.token_hex(4)}",
            checked.spec,
            store_uri=self._store_uri,
            base=checked.base.ref if checked.base else None,
            queue_number=self._queue.next_number(),
            now_s=self._run_store.clock.now_s(),
            project=project,
            priority=priority,
        )
        new = NewRun(
            state=state,
            request_id=request_id or None,
            request_digest=digest,
            base_uri=checked.base.ref.uri if checked.base else None,
        )
        try:
            async with self._run_store.choosing:
                await self._projects.check_run(project, slots=slots_of(state.spec.compute))
                stored = await self._run_store.read(self._run_store.repository.create, new)
        except AlreadyExists:
            # Two copies of one request at the same time: the other one was first.
            if request_id and (known := await self._answered(request_id, digest, spec, project)):
                return known
            raise
        self._run_store.created(stored)
        return stored

    async def get(self, run_id: str) -> StoredRun | UnreadableRun:
        """One run, as far as it can be read."""
        try:
            return await self._run_store.get(run_id)
        except RunUnreadable as error:
            return error.run

    def queue_position(self, run_id: str) -> int:
        """Place in the queue, from 1; 0 for a run that does not wait."""
        return self._queue.position(run_id)

    def held_back(self, run_id: str) -> str:
        """Why a run waits although there may be room; empty: for its turn."""
        return self._queue.held_back(run_id)

    async def page(
        self,
        *,
        limit: int,
        below_number: int | None,
        statuses: Sequence[RunState],
        project: str = "",
        words: str = "",
    ) -> Page[StoredRun | UnreadableRun]:
        """Runs, newest first; with `words` those that have them."""
        return await self._run_store.read(
            self._run_store.repository.list_runs,
            limit=limit,
            below_number=below_number,
            statuses=statuses,
            project=project,
            words=words,
        )

    async def unsettled(self) -> tuple[PipelineRun, ...]:
        """The newest runs that the caller may see and that have not ended, as far as they can be read."""
        states = [state for state in RunState if state and not state.ended]
        page = await self.page(limit=MOST_UNSETTLED, below_number=None, statuses=states)
        return tuple(run for run in page.items if isinstance(run, PipelineRun))

    async def watch(self, run_id: str, sequence: int) -> AsyncIterator[PipelineRun]:
        """The run now, then after every change, until it has ended. Sequences grow strictly."""
        state = await self._run_store.get(run_id)
        if state.sequence > sequence:
            yield state
        seen = max(sequence, state.sequence)
        while not state.status.ended:
            state = await self._run_store.wait_for_change(run_id, seen, WATCH_EVERY_S)
            if state.sequence > seen:
                seen = state.sequence
                yield state

    async def update(self, run_id: str, spec: PipelineSpec, paths: Sequence[str], etag: str) -> PipelineRun:
        """Change what may change of a run's spec. Raises InvalidInput, InvalidTransition, Stale, NotFound."""
        event = SpecUpdated(spec=spec, paths=tuple(paths), now_s=self._now_s())
        return await self._run_store.apply(run_id, event, etag=etag)

    async def cancel(self, run_id: str, etag: str) -> PipelineRun:
        """End a run."""
        return await self._run_store.apply(run_id, Cancelled(now_s=self._now_s()), etag=etag)

    async def approve(self, run_id: str, action: ApproveAction, etag: str, comment: str) -> PipelineRun:
        """Resume a suspended run."""
        event = Approved(action=action, comment=comment, queue_number=self._queue.next_number(), now_s=self._now_s())
        return await self._run_store.apply(run_id, event, etag=etag)

    async def retry(self, run_id: str, etag: str) -> PipelineRun:
        """Resume a failed or cancelled run, within the quotas of its project."""
        state = await self._run_store.get(run_id)
        event = Retried(queue_number=self._queue.next_number(), now_s=self._now_s())
        async with self._run_store.choosing:
            if state.status.ended:
                await self._projects.check_run(state.project, slots=slots_of(state.spec.compute))
            return await self._run_store.apply(run_id, event, etag=etag)

    async def delete(self, run_id: str, etag: str) -> None:
        """Delete a run that has ended, unless a run that may still continue builds on it. Its files go later.

        Raises InvalidTransition.
        """
        state = await self.get(run_id)
        present = f"{state.id}.{state.sequence}"
        if etag and etag != present:
            raise stale(run_id, got=etag, present=present)
        if not state.status.ended or (isinstance(state, PipelineRun) and state.jobs):
            said = "delete" if not state.status.ended else "delete (its workers are still ending)"
            raise InvalidTransition(said, state=state.status, expected=["SUCCEEDED", "FAILED", "CANCELLED"])
        prefix = f"{self._store_uri}/runs/{run_id}"
        await self._run_store.read(
            self._run_store.repository.delete,
            run_id,
            expected_sequence=state.sequence,
            base_prefix=f"{prefix}/",
            garbage_uris=[prefix, f"{RECORDS}{run_id}"],
        )
        self._queue.forget(run_id)
        self._on_delete(run_id, state.status)
        self._run_store.deleted(run_id)

    async def decisions(self, run_id: str, *, limit: int, after_number: int) -> Page[Decision]:
        """Decisions of a run, oldest first."""
        await self._run_store.get(run_id)
        return await self._run_store.read(
            self._run_store.repository.list_decisions, run_id, limit=limit, after_number=after_number
        )

    async def _answered(self, request_id: str, digest: str, spec: PipelineSpec, project: str) -> PipelineRun | None:
        known = await self._run_store.read(self._run_store.repository.request, request_id, project=project)
        if known is None:
            return None
        same = known.request_digest == digest
        if not same and _is_first_digest(known.request_digest):
            same = await self._made_from(known.run_id, spec)
        if not same:
            raise AlreadyExists(
                f"the request id {request_id} made run {known.run_id} from another spec; expected a new request id",
                reason="REQUEST_ID_REUSED",
                metadata={"run_id": known.run_id},
            )
        return await self._run_store.get(known.run_id)

    async def _made_from(self, run_id: str, spec: PipelineSpec) -> bool:
        """Whether a spec is the one that a run was made from, for runs whose request was named by an earlier program.

        That name came out differently in every process, so the specs are compared, with their defaults filled in. A
        request that spells out a default which the first one left out passes for the same; one that leaves out a
        default which has changed since passes for another.
        """
        stored = (await self._run_store.get(run_id)).spec
        return fill(spec, base_context=stored.model.context) == stored

    async def _base(self, key: str) -> tuple[Checkpoint | None, str | None]:
        """The accepted checkpoint that a spec builds on, or what would unlock the run."""
        try:
            base = await self._run_store.read(self._run_store.repository.find_checkpoint, key)
        except (NotFound, InvalidInput) as error:
            return None, f"model.checkpoint: {error.message}; an accepted or imported checkpoint unlocks it"
        if base.status is not CheckpointState.ACCEPTED:
            return None, f"model.checkpoint: {base.id} is {base.status}; its stage's acceptance unlocks it"
        return base, None

    async def _context(self, spec: PipelineSpec, base: Checkpoint | None) -> int | None:
        if spec.model.context or not (base or spec.model.huggingface):
            return None
        uri = f"{base.ref.uri}/model" if base else spec.model.huggingface or ""
        return await self._reading(self._bases.context_of, uri)

    async def _sizes(self, spec: PipelineSpec, base: Checkpoint | None) -> Sizes | None:
        model, train = spec.model, spec.tokenizer.train
        if model.preset:
            return sizes_of_preset(model.preset, train.vocab_size if train else 0)
        uri = f"{base.ref.uri}/model" if base else model.huggingface
        return await self._reading(self._bases.sizes_of, uri) if uri else None

    def _now_s(self) -> float:
        return self._run_store.clock.now_s()


def _priority_faults(priority: int) -> tuple[Violation, ...]:
    if abs(priority) <= LARGEST_PRIORITY:
        return ()
    said = mismatch(priority, f"{-LARGEST_PRIORITY} to {LARGEST_PRIORITY}")
    return (Violation(field="priority", description=said),)


def _is_first_digest(digest: str) -> bool:
    """Whether a request was named by its text in one process's order of maps, as it was at first."""
    return _FIRST_DIGEST.fullmatch(digest) is not None
