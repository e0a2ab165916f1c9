"""What the fake platform answers in the evaluator's place; tests fill its attributes."""

import threading
import time

from google.rpc import code_pb2

from retain.evaluator.v1 import resources_pb2 as evaluator_resources
from retain.evaluator.v1 import service_pb2 as evaluator_pb
from retain.evaluator.v1 import service_pb2_grpc as evaluator_grpc


class EvaluatorAnswers(evaluator_grpc.EvaluatorServiceServicer):
    """A part of `FakePlatform`, which counts calls and refuses them."""

    def __init__(self) -> None:
        self.records: dict[str, list[evaluator_resources.ForgettingRecord]] = {}
        self.previews: dict[str, evaluator_resources.DataPreview] = {}  # by role
        self.asked_texts: list[evaluator_pb.SampleTextRequest] = []
        self.endless, self.text_ended = False, threading.Event()  # texts that end with their reader only
        self.chat_fault = ""  # of a model without a chat template
        self.file_results: dict[str, evaluator_resources.FileResult] = {}  # by the file's name

    def GetForgettingHistory(self, request, context):
        self._enter(context, "GetForgettingHistory")
        records = [r for r in self.records.get(request.run_id, []) if request.stage in {"", r.stage}]
        return evaluator_pb.GetForgettingHistoryResponse(records=records)

    def SampleText(self, request, context):
        self._enter(context, "SampleText")
        self.asked_texts.append(request)
        context.add_callback(self.text_ended.set)
        if self.chat_fault and request.chat:
            self._abort(context, code_pb2.FAILED_PRECONDITION, self.chat_fault, "BAD_CONFIG")
        words = sum(len(text.split()) for text in (request.prompt, *(turn.content for turn in request.turns)))
        yield evaluator_pb.SampleTextResponse(prompt_tokens=words, context=10)
        for piece in (" once", " upon", " a time"):
            yield evaluator_pb.SampleTextResponse(text=piece)
        while self.endless and context.is_active():
            time.sleep(0.01)

    def EvaluateFile(self, request, context):
        self._enter(context, f"EvaluateFile {request.uri} {request.context} {request.documents}")
        name = request.uri.rpartition("/")[2]
        if name not in self.file_results:
            fault = ("uri", f"{name}: got a file ending in '.pdf'; expected .csv, .txt")
            self._abort(context, code_pb2.INVALID_ARGUMENT, "the file", "INVALID_INPUT", violations=[fault])
        if not self.file_results[name].kept:
            state = evaluator_resources.EVALUATION_STATE_RUNNING
            now = evaluator_resources.FileEvaluation(state=state, tokens_done=5, tokens=10)
            yield evaluator_pb.EvaluateFileResponse(evaluation=now)
        done = evaluator_resources.EVALUATION_STATE_SUCCEEDED
        ended = evaluator_resources.FileEvaluation(state=done, result=self.file_results[name])
        yield evaluator_pb.EvaluateFileResponse(evaluation=ended)

    def PreviewData(self, request, context):
        self._enter(context, f"PreviewData {request.stage} {request.role} {request.documents}")
        if request.role not in self.previews:
            fault = (f"stages[{request.stage}].data.{request.role}", "got none; expected a source")
            self._abort(context, code_pb2.INVALID_ARGUMENT, "no source", "INVALID_INPUT", violations=[fault])
        return evaluator_pb.PreviewDataResponse(preview=self.previews[request.role])
