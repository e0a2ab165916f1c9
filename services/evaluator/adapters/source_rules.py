"""What a run of a project may read, asked of the orchestrator: the same answer that Create would give."""

from typing import Any

import grpc

from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from retain.types.v1 import spec_pb2
from services.common.grpc.status import error_of
from services.evaluator.application.ports import SourceRules

CALL_TIMEOUT_S = 10.0


class AskSourceRules(SourceRules):
    """`channel` is to the orchestrator."""

    def __init__(self, channel: grpc.Channel, *, token: str) -> None:
        self._validate: Any = pb_grpc.OrchestratorServiceStub(channel).ValidatePipelineSpec
        self._metadata = (("authorization", f"Bearer {token}"),)

    def fault_of(self, uri: str, project: str) -> str | None:
        # The smallest spec that names the source; only what is said of the source counts.
        spec = spec_pb2.PipelineSpec(name="preview")
        spec.model.preset = "nano"
        spec.tokenizer.train.vocab_size = 1024
        stage = spec.stages.add(kind=spec_pb2.STAGE_KIND_PRETRAIN)
        stage.data.general = uri
        stage.duration.steps = 1
        return self._fault(spec, project, "stages[0].data.general")

    def model_fault(self, place: str, project: str) -> str | None:
        # Without a stage nothing of the model is opened, and with a context nobody needs to look for it.
        spec = spec_pb2.PipelineSpec(name="preview")
        spec.model.huggingface, spec.model.context = place, 128
        return self._fault(spec, project, "model.huggingface")

    def _fault(self, spec: spec_pb2.PipelineSpec, project: str, field: str) -> str | None:
        """What is said of the field or of what is below it."""
        request = pb.ValidatePipelineSpecRequest(spec=spec, project=project)
        try:
            answer = self._validate(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            raise error_of(error, server="orchestrator") from error
        return next((fault.description for fault in answer.violations if fault.field.startswith(field)), None)
