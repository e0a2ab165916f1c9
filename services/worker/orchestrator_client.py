"""The orchestrator as a worker sees it: StageControlService with deadlines, retries, and the fence as an exception.

Every call is idempotent by contract, so a call whose reply was lost is simply made again, for `patience_s` (half an
hour): an orchestrator that is restarted costs a wait and no work. What is not worth another try becomes an error of
services/common/errors.py; `Stale` is the fence: the caller must write nothing more.
"""

import os
import threading
import time
import uuid
from typing import Any

import grpc
import tenacity

from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from retain.orchestrator.v1 import stage_control_service_pb2_grpc as control_grpc
from services.common.errors import Unavailable
from services.common.grpc.server import CLIENT_OPTIONS
from services.common.grpc.status import error_of
from services.common.logging import get_logger
from services.common.retry import RetryPolicy
from services.common.store.store_keys import StoreKeys, store_keys_of
from services.common.tls.channel import open_channel
from services.worker.leaving import Leaving, ToldToLeave

CALL_TIMEOUT_S = 20.0
PROGRESS_TIMEOUT_S = 5.0
DIRECTIVE_TIMEOUT_S = 90.0  # the orchestrator holds GetDirective open for some seconds
SHORTEST_POLL_S = 0.2
# Once it was told to leave, a worker says so, and does not wait for an orchestrator that is away.
PATIENCE_OF_LEAVING_S = 15.0

_AGAIN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
}


def orchestrator_channel() -> grpc.Channel:
    """A channel to RETAIN_SERVER, with the TLS of the environment. Raises InvalidInput when a token would travel in
    plain text."""
    return open_channel(os.environ.get("RETAIN_SERVER") or "127.0.0.1:7070", options=CLIENT_OPTIONS)


class ControlClient:
    """One worker group's line to the orchestrator. Thread-safe; `close` also ends a wait for the next try.

    Being told to leave ends every wait for work or for a directive with ToldToLeave, at once.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        run_id: str,
        submission: int,
        token: str | None = None,
        patience_s: float = 1800.0,
        leaving: Leaving | None = None,
    ) -> None:
        self.run_id, self.submission = run_id, submission
        self._channel = channel
        self._stub = control_grpc.StageControlServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._patience_s = patience_s
        self._closing = threading.Event()
        self.leaving = leaving or Leaving()
        self._log = get_logger().bind(run=run_id, submission=submission)

    @classmethod
    def from_env(cls, *, run_id: str, submission: int, token: str, leaving: Leaving | None = None) -> "ControlClient":
        """Read RETAIN_SERVER and the TLS of the environment. Raises what `orchestrator_channel` raises."""
        return cls(orchestrator_channel(), run_id=run_id, submission=submission, token=token, leaving=leaving)

    def close(self) -> None:
        """End the line."""
        self._closing.set()
        self._channel.close()

    def begin_attempt(self) -> control_pb2.BeginAttemptResponse:
        """Ask for work. One question has one id, so that asking again begins nothing new."""
        request = control_pb2.BeginAttemptRequest(
            run_id=self.run_id, submission=self.submission, request_id=uuid.uuid4().hex
        )
        self.leaving.check()
        response: control_pb2.BeginAttemptResponse = self._call(
            "BeginAttempt", self._stub.BeginAttempt, request, CALL_TIMEOUT_S, waits=True
        )
        return response

    def store_keys(self, patiently: bool) -> StoreKeys:
        """Keys of the store for this run; patiently: asked again like any other call, else once. Raises Unavailable,
        and what the orchestrator refuses with."""
        request = self._ours(control_pb2.GetRunKeysRequest())
        if patiently:
            answer = self._call("GetRunKeys", self._stub.GetRunKeys, request, CALL_TIMEOUT_S)
        else:
            try:
                answer = self._stub.GetRunKeys(request, timeout=PROGRESS_TIMEOUT_S, metadata=self._metadata)
            except grpc.RpcError as error:
                raise error_of(error) from error
        return store_keys_of(answer.keys)

    def report_progress(self, request: control_pb2.ReportProgressRequest) -> None:
        """Tell once, without another try: the next report says it better. Raises what it comes to."""
        try:
            self._stub.ReportProgress(self._ours(request), timeout=PROGRESS_TIMEOUT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            raise error_of(error) from error

    def report_checkpoint(self, request: control_pb2.ReportCheckpointRequest) -> None:
        """Register a checkpoint; it exists from the return on."""
        self._call("ReportCheckpoint", self._stub.ReportCheckpoint, self._ours(request), CALL_TIMEOUT_S)

    def report_mix_trial(self, request: control_pb2.ReportMixTrialRequest) -> control_pb2.ReportMixTrialResponse:
        """Tell what a trial of mixes measured; the shares that were chosen by it, the same whenever it is told."""
        answer: control_pb2.ReportMixTrialResponse = self._call(
            "ReportMixTrial", self._stub.ReportMixTrial, self._ours(request), CALL_TIMEOUT_S
        )
        return answer

    def get_directive(self, request: control_pb2.GetDirectiveRequest) -> control_pb2.GetDirectiveResponse:
        """Wait for the directive of a boundary, for as long as it takes."""
        request = self._ours(request)
        while True:
            asked = time.monotonic()
            response = self._call("GetDirective", self._stub.GetDirective, request, DIRECTIVE_TIMEOUT_S, waits=True)
            if not response.pending:
                result: control_pb2.GetDirectiveResponse = response
                return result
            self._pause(max(0.0, SHORTEST_POLL_S - (time.monotonic() - asked)))

    def end_stage(self, request: control_pb2.EndStageRequest) -> None:
        """Tell that an attempt ended."""
        self._call("EndStage", self._stub.EndStage, self._ours(request), CALL_TIMEOUT_S)

    def _ours(self, request: Any) -> Any:
        request.run_id, request.submission = self.run_id, self.submission
        return request

    def _pause(self, seconds: float) -> None:
        """Wait, with an eye on both ways to end."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            if self._closing.wait(min(left_s, SHORTEST_POLL_S)):
                raise Unavailable("the worker is closing", reason="CLOSING")
            self.leaving.check()

    def _call(self, name: str, call: Any, request: Any, timeout_s: float, *, waits: bool = False) -> Any:
        """One call, made again until it is answered. `waits`: it waits for something to happen, and being told to
        leave ends it; any other call is part of what is done on the way out, and has little time then."""
        started_s = time.monotonic()

        def give_up(_: tenacity.RetryCallState) -> bool:
            waited_s = time.monotonic() - started_s
            over = waited_s >= (PATIENCE_OF_LEAVING_S if self.leaving.asked else self._patience_s)
            return over or self._closing.is_set()

        def sleep(seconds: float) -> None:
            if waits:
                self._pause(seconds)
            else:
                self._closing.wait(seconds)

        retrying = tenacity.Retrying(
            **(RETRIES.options() | {"stop": give_up}),
            sleep=sleep,
            before_sleep=lambda state: self._log.warning("made again", call=name, tries=state.attempt_number),
        )
        try:
            return retrying(self._once, call, request, timeout_s, waits)
        except grpc.RpcError as error:
            raise error_of(error) from error

    def _once(self, call: Any, request: Any, timeout_s: float, waits: bool) -> Any:
        if not waits:
            return call(request, timeout=timeout_s, metadata=self._metadata)
        future = call.future(request, timeout=timeout_s, metadata=self._metadata)
        while True:
            try:
                return future.result(timeout=SHORTEST_POLL_S)
            except grpc.FutureTimeoutError:
                if self._closing.is_set():
                    future.cancel()
                    raise Unavailable("the worker is closing", reason="CLOSING") from None
                if self.leaving.asked:
                    future.cancel()
                    raise ToldToLeave("the workers were told to leave") from None


def _worth_another_try(error: BaseException) -> bool:
    return isinstance(error, grpc.RpcError) and error.code() in _AGAIN


RETRIES = RetryPolicy(interval_s=0.2, maximum_s=5.0, is_retried=_worth_another_try, jitter=True)
