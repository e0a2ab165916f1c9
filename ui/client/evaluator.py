"""The calls to the evaluator: the measured history, files that are measured, and text from a checkpoint."""

import time
from collections.abc import Iterator, Sequence

from retain.evaluator.v1 import service_pb2, service_pb2_grpc
from retain.types.v1 import spec_pb2, values_pb2
from ui.client import views
from ui.client.address import Address
from ui.client.channel import mapped_errors, open_channel
from ui.client.convert import to_view
from ui.client.credentials import Credentials
from ui.client.errors import Unreachable

DEADLINE_S = 20.0
SAMPLE_DEADLINE_S = 120.0
PREVIEW_DEADLINE_S = 90.0
STREAM_DEADLINE_S = 300.0  # a stream is opened anew after so long, so that a half-dead connection is noticed
ASK_AGAIN_S = 0.5


class EvaluatorClient:
    """A client of the evaluator."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self._target = address.evaluator
        self._credentials = credentials
        self._channel = open_channel(address.evaluator, address)
        self._stub = service_pb2_grpc.EvaluatorServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def history(self, run_id: str, *, stage: str = "") -> list[views.ForgettingRecord]:
        """The measured history of a run, oldest first."""
        request = service_pb2.GetForgettingHistoryRequest(run_id=run_id, stage=stage)
        records: list[views.ForgettingRecord] = []
        while True:
            with mapped_errors(self._target):
                response = self._stub.GetForgettingHistory(
                    request, timeout=DEADLINE_S, metadata=self._credentials.metadata()
                )
            records += [to_view(views.ForgettingRecord, record) for record in response.records]
            if not response.next_page_token:
                return records
            request.page_token = response.next_page_token

    def sample(
        self,
        checkpoint: values_pb2.CheckpointRef,
        prompt: str,
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_k: int = 0,
        seed: int = 0,
        chat: bool = False,
        turns: Sequence[tuple[str, str]] = (),
    ) -> Iterator[views.SampledPiece]:
        """Text that continues the prompt, behind a first piece with the numbers of the prompt. Temperature 0 takes the
        likeliest token each time; `turns` are (role, text) of what was said before, for `chat`. Whoever closes the
        iterator ends the writing on the server too."""
        request = service_pb2.SampleTextRequest(
            checkpoint=checkpoint,
            prompt=prompt,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
            chat=chat,
            turns=[service_pb2.ChatTurn(role=role, content=content) for role, content in turns],
        )
        with mapped_errors(self._target):
            call = self._stub.SampleText(request, timeout=SAMPLE_DEADLINE_S, metadata=self._credentials.metadata())
            try:
                for response in call:
                    yield to_view(views.SampledPiece, response)
            finally:
                call.cancel()

    def evaluate_file(
        self,
        checkpoint: values_pb2.CheckpointRef,
        uri: str,
        *,
        project: str,
        context: int = 0,
        documents: int = 0,
        patience_s: float,
    ) -> Iterator[views.FileEvaluation]:
        """How far the measuring of an uploaded file is; the last one has the result. Where the server goes away it is
        asked again: the question is the same. `context`: tokens in a window (0: the model's); `documents`: only the
        first so many (0: all). Raises Unreachable after `patience_s` without an answer."""
        request = service_pb2.EvaluateFileRequest(
            checkpoint=checkpoint, uri=uri, project=project, context=context, documents=documents
        )
        heard_s = time.monotonic()
        while True:
            try:
                with mapped_errors(self._target):
                    for response in self._stub.EvaluateFile(
                        request, timeout=STREAM_DEADLINE_S, metadata=self._credentials.metadata()
                    ):
                        heard_s = time.monotonic()
                        found = to_view(views.FileEvaluation, response.evaluation)
                        yield found
                        if found.result is not None:
                            return
            except Unreachable as error:
                # A stream that only lasted its time was heard of late.
                if error.reason != "DEADLINE_EXCEEDED" and time.monotonic() - heard_s > patience_s:
                    raise
                time.sleep(ASK_AGAIN_S)

    def preview_data(
        self, spec: spec_pb2.PipelineSpec, *, stage: int, role: str, project: str, documents: int
    ) -> views.DataPreview:
        """The beginning of a text that the spec names, as a run of the project would read it."""
        request = service_pb2.PreviewDataRequest(
            spec=spec, stage=stage, role=role, project=project, documents=documents
        )
        with mapped_errors(self._target):
            response = self._stub.PreviewData(
                request, timeout=PREVIEW_DEADLINE_S, metadata=self._credentials.metadata()
            )
        return to_view(views.DataPreview, response.preview)
