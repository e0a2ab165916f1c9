"""`JobLauncher` on Ray Jobs' REST API: plain HTTP, since importing Ray's own client would cost 100 MB and seconds.

https://docs.ray.io/en/latest/cluster/running-applications/job-submission/rest.html. A job's id is our own
(`retain-{run}-{submission}`), so that a submission whose reply was lost is recognized when it is repeated.
"""

import contextlib
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from services.common.errors import FailedPrecondition, Refused, RetainError, Unavailable
from services.common.worker_environment import JOIN_CODE, passed_on
from services.orchestrator.application.logs.stream import LogStream
from services.orchestrator.application.ports import JobLauncher, JobRequest, JobState, JobView

TIMEOUT = urllib3.Timeout(connect=3.0, read=30.0)  # each read; a whole answer takes CALL_LIMIT_S at most
CALL_LIMIT_S = 45.0
PIECE_BYTES = 256 * 1024
LOG_PIECE_BYTES = 64 * 1024
LOG_S = 600  # that Ray may take to send a whole log
SILENCE_S = 300.0  # a follower opens its stream anew after so long without a line
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


class RayJobs(JobLauncher):
    """Starts worker groups. `env` is what the workers find in their environment."""

    def __init__(
        self,
        address: str,
        *,
        env: Mapping[str, str],
        python: str = sys.executable,
        limit_s: float = CALL_LIMIT_S,
    ) -> None:
        self._limit_s = limit_s
        self._address = address.rstrip("/")
        self._env = dict(env)
        self._python = python
        self._http = urllib3.PoolManager(maxsize=8, timeout=TIMEOUT, retries=False)

    def submit(self, request: JobRequest) -> None:
        compute = request.compute
        entry = [
            self._python, "-m", "services.worker.main",
            "--run", request.run_id,
            "--submission", str(request.submission),
            "--workers", str(compute.workers),
            "--min-workers", str(compute.min_workers),
            "--cpus-per-worker", f"{compute.cpus_per_worker:g}",
            "--gpus-per-worker", f"{compute.gpus_per_worker:g}",
        ]  # fmt: skip
        body = {
            "submission_id": request.job_id,
            "entrypoint": shlex.join(entry),  # a shell takes it apart: folders may have blanks in their names
            "entrypoint_num_cpus": 0,
            # Shown by Ray to whoever has its token: the code is good once, and for minutes.
            "runtime_env": {"env_vars": {**self._env, JOIN_CODE: request.join_code}},
            "metadata": {"job_submission_id": request.job_id, **request.labels},
        }
        status, text = self._call("POST", "/api/jobs/", body)
        if status >= 400 and "already exists" not in text:
            raise _error(status, text, f"submit {request.job_id}")

    def status(self, job: str) -> JobView:
        status, text = self._call("GET", f"/api/jobs/{job}")
        if status == 404 or (status >= 400 and "does not exist" in text):
            return JobView(state=JobState.NOT_FOUND, message=f"the Ray head does not know the job {job}")
        if status >= 400:
            raise _error(status, text, f"look at {job}")
        details = json.loads(text)
        said = str(details.get("message") or "").strip()
        state = str(details.get("status", ""))
        if state in _ENDED:
            return JobView(state=JobState.ENDED, message=f"the Ray job {job} {state}: {said[:500]}")
        return JobView(state=JobState.PENDING if state == "PENDING" else JobState.RUNNING, message=said)

    def stop(self, job: str) -> None:
        status, text = self._call("POST", f"/api/jobs/{job}/stop")
        if status >= 400 and status != 404 and "does not exist" not in text:
            raise _error(status, text, f"stop {job}")

    def log(self, job: str, *, last_lines: int | None = None, follow: bool = False) -> LogStream:
        status, text = self._call("GET", f"/api/jobs/{job}")
        if status == 404 or "does not exist" in text[:200]:
            return _NoLog()
        if status >= 400:
            raise _error(status, text, f"read the log of {job}")
        node = str(json.loads(text).get("driver_node_id") or "")
        if not node:  # it waits for a place, and has printed nothing
            return _NoLog()
        # It is read from its end where only that is wanted, and goes on in pieces: nobody holds the whole.
        lines = -1 if last_lines is None else last_lines
        query = urlencode({"node_id": node, "submission_id": job, "lines": lines, "timeout": LOG_S})
        url = f"{self._address}/api/v0/logs/{'stream' if follow else 'file'}?{query}"
        timeout = urllib3.Timeout(connect=3.0, read=SILENCE_S if follow else 30.0)
        try:
            answer = self._http.request(
                "GET", url, headers=auth_headers(os.environ), preload_content=False, timeout=timeout
            )
            if answer.status >= 400:
                said = answer.read(4096).decode(errors="replace")
                answer.close()
                if "ot find" in said or "not found" in said:
                    return _NoLog()
                raise _error(answer.status, said, f"read the log of {job}")
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"Ray at {self._address} does not answer: {error}", reason="RAY_UNAVAILABLE") from error
        return _RayLog(answer, self._address)

    def _call(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        headers = {"Content-Type": "application/json", **auth_headers(os.environ)}
        data = None if body is None else json.dumps(body)
        until_s = time.monotonic() + self._limit_s
        try:
            answer = self._http.request(method, self._address + path, body=data, headers=headers, preload_content=False)
            text = bytearray()
            while piece := answer.read1(PIECE_BYTES):
                text += piece
                if time.monotonic() >= until_s:
                    answer.close()
                    raise Unavailable(
                        f"Ray at {self._address} did not end its answer within {self._limit_s:g} s",
                        reason="RAY_UNAVAILABLE",
                    )
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"Ray at {self._address} does not answer: {error}", reason="RAY_UNAVAILABLE") from error
        return answer.status, text.decode(errors="replace")


class _NoLog(LogStream):
    """Of a job that has printed nothing, or of none."""

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        """Nothing is open."""


class _RayLog(LogStream):
    """The body of an answer, piece by piece."""

    def __init__(self, answer: urllib3.BaseHTTPResponse, address: str) -> None:
        self._answer, self._address = answer, address
        self._closed = self._ended = False
        # A handle of our own: of an answer that ends its connection urllib3 keeps none that could be shut down.
        self._socket = socket.socket(fileno=os.dup(answer.fileno()))

    def __iter__(self) -> Iterator[bytes]:
        try:
            while piece := self._answer.read1(LOG_PIECE_BYTES):
                yield piece
            self._ended = True
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:  # ValueError: it was closed meanwhile
            if not self._closed:
                said = f"the log of Ray at {self._address} broke off: {error}"
                raise Unavailable(said, reason="RAY_UNAVAILABLE") from error
        finally:
            if not self._ended:
                self._answer.close()

    def close(self) -> None:
        self._closed = True
        if not self._ended:  # else the connection may be another answer's by now
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes up whoever reads in another thread, and closes the rest
        self._socket.close()


def environment() -> Mapping[str, str]:
    """This process's own environment."""
    return os.environ


def job_env(environ: Mapping[str, str], *, extra: Mapping[str, str]) -> dict[str, str]:
    """What workers find in their environment."""
    return passed_on(environ) | dict(extra)


def auth_headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Ray's bearer token, found as Ray finds it: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token.

    Raises Refused.
    """
    if environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return {}
    token = environ.get("RAY_AUTH_TOKEN", "").strip()
    paths: Sequence[Path] = [Path(environ["RAY_AUTH_TOKEN_PATH"])] if environ.get("RAY_AUTH_TOKEN_PATH") else []
    for path in (*paths, Path.home() / ".ray" / "auth_token"):
        if not token and path.is_file():
            token = path.read_text().strip()
    if not token:
        raise Refused(
            "RAY_AUTH_MODE=token, but there is no token in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token",
            reason="RAY_TOKEN_MISSING",
        )
    return {"Authorization": f"Bearer {token}"}


def _error(status: int, text: str, what: str) -> RetainError:
    last_line = text.strip().splitlines()[-1] if text.strip() else ""
    if status in (401, 403):
        return Refused(f"Ray refused to {what}: {last_line}", reason="RAY_REFUSED")
    if status == 400:
        return FailedPrecondition(f"Ray refused to {what}: {last_line}", reason="RAY_REFUSED")
    return Unavailable(f"Ray could not {what} (HTTP {status}): {last_line}", reason="RAY_UNAVAILABLE")
