"""A service as a process: told by signals, metrics on a port of their own, a fault of the start said in one line."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from services.common import process
from services.common.concurrency.tasks import end
from services.common.errors import Unavailable
from services.common.process import serve_metrics, told_to_end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_tells(number: signal.Signals) -> None:
    told = told_to_end()
    try:
        assert not told.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(told.wait(), 10)
    finally:
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(each)


def test_metrics_have_the_process_beside_the_service() -> None:
    server = serve_metrics("127.0.0.1:0", CollectorRegistry())
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_address[1]}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
    assert "process_resident_memory_bytes" in text
    assert "python_info" in text


def status_of(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def test_probes_over_http_say_who_lives_and_who_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PROBE_LIMIT_S", 0.3)
    serving = False

    async def ready() -> bool:
        return serving

    server = serve_metrics("127.0.0.1:0", CollectorRegistry(), ready=ready)
    port = server.server_address[1]
    try:
        assert await asyncio.to_thread(status_of, port, "/live") == 200
        assert await asyncio.to_thread(status_of, port, "/ready") == 503
        serving = True
        assert await asyncio.to_thread(status_of, port, "/ready") == 200
        assert await asyncio.to_thread(status_of, port, "/metrics") == 200
        hanging = asyncio.get_running_loop().run_in_executor(None, status_of, port, "/live")
        time.sleep(1.0)  # noqa: ASYNC251 - the loop hangs, as a fault of ours would let it
        assert await hanging == 503
    finally:
        server.shutdown()
        server.server_close()


def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unavailable, match=f"cannot listen on {bind}") as caught:
            serve_metrics(bind, CollectorRegistry())
    assert caught.value.reason == "ADDRESS_IN_USE"


@pytest.mark.parametrize("name", ["orchestrator", "evaluator"])
async def test_a_service_without_a_store_ends_with_one_line_that_says_so(name: str) -> None:
    """A process of its own: setting up logs changes those of the whole process."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RETAIN_", "AWS_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{name}.main", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 1
    last = json.loads(errors.decode().strip().splitlines()[-1])
    assert (last["reason"], last["level"], last["service"]) == ("INVALID_INPUT", "error", name)
    assert "RETAIN_S3_ENDPOINT: is not set" in last["message"]
    assert "Traceback" not in errors.decode()


async def test_a_task_that_swallows_a_cancellation_is_told_again() -> None:
    heard = 0

    async def hard_of_hearing() -> None:
        nonlocal heard
        while heard < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                heard += 1

    task = asyncio.create_task(hard_of_hearing())
    await asyncio.sleep(0)
    await end([task], limit_s=30)
    assert task.done()
    assert heard == 2
