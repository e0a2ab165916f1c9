"""The beginning of a text that a spec names, for whoever may start runs of a project: what such a run may read, and no
more. The orchestrator says what that is (`SourceRules`), a reader reads it within bounds (`Previewer`)."""

from retain.values import CheckpointRef, DataPreview, ModelSpec, PipelineSpec, PreviewDataRequest, StageKind, StageSpec
from retain.values.faults import mismatch
from services.common.concurrency.blocking import Blocking
from services.common.errors import InvalidInput
from services.evaluator.application.ports import Owners, Previewer, SourceRules
from services.evaluator.application.scoped import chosen_project

ROLES = ("general", "domain", "chat")
WRITTEN_LATER = "self://"
DEFAULT_DOCUMENTS, MOST_DOCUMENTS = 3, 10
THREADS, LIMIT_S = 2, 60.0  # the reader ends much sooner; fetching an upload may take its time


class Previews:
    """Reads for two callers at a time; the others wait."""

    def __init__(self, rules: SourceRules, previewer: Previewer, owners: Owners) -> None:
        self._rules, self._previewer, self._owners = rules, previewer, owners
        self._blocking = Blocking("preview", threads=THREADS, limit_s=LIMIT_S)

    async def preview(self, request: PreviewDataRequest) -> DataPreview:
        """Raises InvalidInput with the field at fault; NotFound for a project that the caller may not use."""
        project = chosen_project(request.project)
        if request.documents < 0:
            raise InvalidInput.at("documents", mismatch(request.documents, "0 or more"))
        stage, uri, field = _asked(request)
        count = min(request.documents or DEFAULT_DOCUMENTS, MOST_DOCUMENTS)
        why = await self._blocking(self._rules.fault_of, uri, project)
        if why is not None:
            raise InvalidInput.at(field, why)
        model = await self._blocking(self._model, request.spec, project)
        return await self._blocking(self._previewer.preview, stage, request.role, uri, field, count, model)

    def _model(self, spec: PipelineSpec, project: str) -> ModelSpec:
        """The model whose tokenizer the run will have; random weights where the run trains one. Raises InvalidInput for
        a model that a run of the project may not build on."""
        model = spec.model
        if spec.tokenizer.train is not None:
            return ModelSpec()
        if model.checkpoint and project not in self._owners.of_checkpoint(CheckpointRef(uri=model.checkpoint)):
            expected = f"a checkpoint of the project {project}, or one that is shared with it"
            raise InvalidInput.at("model.checkpoint", mismatch(repr(model.checkpoint), expected))
        if model.huggingface and (why := self._rules.model_fault(model.huggingface, project)) is not None:
            raise InvalidInput.at("model.huggingface", why)
        return model

    def stop(self) -> None:
        """Take no more calls."""
        self._blocking.close()


def _asked(request: PreviewDataRequest) -> tuple[StageSpec, str, str]:
    """(the stage, the URI, the field that names it). Raises InvalidInput."""
    spec, role = request.spec, request.role
    if role not in ROLES:
        if role in spec.forgetting.retention:
            return StageSpec(), spec.forgetting.retention[role], f"forgetting.retention[{role}]"
        raise InvalidInput.at("role", mismatch(repr(role), ", ".join((*ROLES, *spec.forgetting.retention))))
    if not 0 <= request.stage < len(spec.stages):
        raise InvalidInput.at(
            "stage", mismatch(request.stage, f"a stage of the spec, which has {len(spec.stages)}, from 0")
        )
    stage, field = spec.stages[request.stage], f"stages[{request.stage}].data.{role}"
    uri = getattr(stage.data, role) or (_first_general(spec) if role == "general" else "")
    if not uri:
        raise InvalidInput.at(field, mismatch("none", "a source"))
    if uri.startswith(WRITTEN_LATER):
        raise InvalidInput.at(
            field, mismatch(uri, "text that is there already: the model writes this while the run is prepared")
        )
    if stage.kind is StageKind.UNSPECIFIED:
        raise InvalidInput.at(f"stages[{request.stage}].kind", mismatch("UNSPECIFIED", "PRETRAIN, MIDTRAIN, FINETUNE"))
    return stage, uri, field


def _first_general(spec: PipelineSpec) -> str:
    return next((stage.data.general for stage in spec.stages if stage.data.general), "")
