"""The evaluator as the caller of the moment may use it: what belongs to a run of another project is not there.

The orchestrator knows to which project a run belongs and with whom a checkpoint is shared (`Owners`); the servicer has
no other way to evaluations, histories and samples than through here.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from retain.values import (
    CheckpointRef,
    EvaluateFileRequest,
    Evaluation,
    FileEvaluation,
    ForgettingRecord,
    SampleTextRequest,
    SampleTextResponse,
)
from services.common.errors import NotFound
from services.common.identity.principal import DEFAULT_PROJECT, current_principal
from services.evaluator.application.file_evaluations import FileEvaluations
from services.evaluator.application.ports import EvaluationKey, Owners
from services.evaluator.application.sampling import Sampling
from services.evaluator.application.service import EvaluatorService


class ScopedEvaluator:
    """What people may do. Each method as in EvaluatorService, Sampling and FileEvaluations."""

    def __init__(self, service: EvaluatorService, sampling: Sampling, owners: Owners, files: FileEvaluations) -> None:
        self._service, self._sampling, self._owners, self._files = service, sampling, owners, files

    async def get(self, evaluation_id: str) -> Evaluation:
        return await self._shown(await self._service.get(evaluation_id))

    async def keys(self, run: str | None) -> list[EvaluationKey]:
        """Every evaluation (of a run) that the caller may see, newest first."""
        keys = await self._service.keys(run)
        if _projects() is None:
            return keys
        seen = {name: await self._may_see(name) for name in {key.run for key in keys}}
        return [key for key in keys if seen[key.run]]

    async def found(self, keys: list[EvaluationKey]) -> list[Evaluation]:
        return [await self._shown(evaluation) for evaluation in await self._service.found(keys)]

    async def watch(self, evaluation_id: str, sequence: int) -> AsyncIterator[Evaluation]:
        await self.get(evaluation_id)
        async for evaluation in self._service.watch(evaluation_id, sequence):
            yield await self._shown(evaluation)

    async def history(self, run: str, stage: str | None) -> list[ForgettingRecord]:
        """Raises NotFound for a run of others."""
        if not await self._may_see(run):
            raise NotFound(f"there is no run {run!r}")
        return await self._service.history(run, stage)

    async def evaluate_file(self, request: EvaluateFileRequest) -> AsyncIterator[FileEvaluation]:
        """Raises NotFound for a project or a checkpoint of others."""
        project = chosen_project(request.project)
        await self._check_checkpoint(request.checkpoint)
        async for progress in self._files.evaluate(request, project):
            yield progress

    async def sample(self, request: SampleTextRequest) -> AsyncIterator[SampleTextResponse]:
        """Raises NotFound for a checkpoint of others that is not shared."""
        await self._check_checkpoint(request.checkpoint)
        async for piece in self._sampling.sample(request):
            yield piece

    async def _check_checkpoint(self, ref: CheckpointRef) -> None:
        projects = _projects()
        if projects is None:
            return
        allowed = await asyncio.to_thread(self._owners.of_checkpoint, ref)
        if not allowed & projects:
            raise NotFound(f"there is no checkpoint {ref.uri!r}")

    async def _shown(self, evaluation: Evaluation) -> Evaluation:
        """With its project. Raises NotFound, in the words for one that never was. Of whoever sees everything nothing is
        asked: they are answered as quickly as ever, also while the orchestrator is away."""
        projects = _projects()
        if projects is None:
            return evaluation
        owner = await self._owner_of(evaluation.request.run_id)
        if owner is None or owner not in projects:
            raise NotFound(f"there is no evaluation {evaluation.id}", metadata={"evaluation_id": evaluation.id})
        return replace(evaluation, project=owner)

    async def _may_see(self, run_id: str) -> bool:
        projects = _projects()
        return projects is None or await self._owner_of(run_id) in projects

    async def _owner_of(self, run_id: str) -> str | None:
        # What an admin asked for beside all runs is the installation's.
        return await asyncio.to_thread(self._owners.of_run, run_id) if run_id else DEFAULT_PROJECT


def _projects() -> frozenset[str] | None:
    """The projects whose things the caller may see; None for all, nothing outside of calls."""
    caller = current_principal()
    return frozenset() if caller is None else caller.visible_projects


def chosen_project(asked: str) -> str:
    """The project that a call is about: the one asked for, the only one of the caller, or `default`. Raises NotFound
    for one of others."""
    visible = _projects()
    if visible is None:
        return asked or DEFAULT_PROJECT
    project = asked or (next(iter(visible)) if len(visible) == 1 else DEFAULT_PROJECT)
    if project not in visible:
        raise NotFound(f"there is no project {project!r}")
    return project
