"""The assembled evaluator: health and metrics say when its working task is dead, and every task is kept going."""

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import generate_latest

from services.common.identity.settings import IdentitySettings
from services.evaluator.adapters.settings import Settings
from services.evaluator.main import SERVICE_NAME, build, patiently, supervised
from tests.fakes.object_store import FakeObjectStore
from tests.unit.services.evaluator.harness import until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health_becomes(stub: health_pb2_grpc.HealthStub, status: int) -> None:
    async with asyncio.timeout(20):
        while True:
            found = await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE_NAME), timeout=5)
            if found.status == status:
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("task", ["measuring", "metrics_retention"])
async def test_a_dead_task_is_seen_in_health_and_metrics_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
):
    settings = Settings(evaluator_bind="127.0.0.1:0", home=tmp_path)
    with grpc.insecure_channel("127.0.0.1:1") as orchestrator:
        parts = build(settings, FakeObjectStore(), orchestrator, IdentitySettings(home=tmp_path))
        port = await parts.server.start()
        killed, resume = asyncio.Event(), asyncio.Event()
        owner, name = (parts.service.loop, "run") if task == "measuring" else (parts.metrics_retention, "run_forever")
        work = getattr(owner, name)

        async def dies_once() -> None:
            if not killed.is_set():
                await resume.wait()
                killed.set()
                raise KeyError("a bug of ours")
            await work()

        monkeypatch.setattr(owner, name, dies_once)
        supervisor = supervised(parts)
        up, deaths = (
            f'retain_evaluator_task_up{{task="{task}"}}',
            f'retain_evaluator_task_deaths_total{{task="{task}"}}',
        )

        def shown() -> str:
            return generate_latest(parts.registry).decode()

        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            await health_becomes(stub, SERVING)
            resume.set()
            await health_becomes(stub, NOT_SERVING)
            assert f"{up} 0.0" in shown()
            await health_becomes(stub, SERVING)
            assert f"{up} 1.0" in shown()
            assert f"{deaths} 1.0" in shown()
        await supervisor.stop()
        parts.service.stop()
        await parts.server.stop(0)


async def test_both_background_tasks_are_supervised(tmp_path: Path):
    with grpc.insecure_channel("127.0.0.1:1") as orchestrator:
        settings, identity = Settings(evaluator_bind="127.0.0.1:0", home=tmp_path), IdentitySettings(home=tmp_path)
        parts = build(settings, FakeObjectStore(), orchestrator, identity)
        await parts.server.start()
        supervisor = supervised(parts)
        await until(lambda: supervisor.all_alive)
        text = generate_latest(parts.registry).decode()
        for task in ("measuring", "metrics_retention"):
            assert f'retain_evaluator_task_up{{task="{task}"}} 1.0' in text
        await supervisor.stop()
        parts.service.stop()
        await parts.server.stop(0)


async def test_a_start_waits_for_its_store_and_is_done_when_it_is_there():
    store, stopping = FakeObjectStore(), asyncio.Event()
    store.fail_next(2)
    assert await patiently("the bucket", asyncio.to_thread, store.ensure_bucket, stopping=stopping)
    assert store.calls == [("ensure_bucket", "")] * 3


async def test_a_start_that_waits_can_be_ended():
    store, stopping = FakeObjectStore(), asyncio.Event()
    store.fail_after(0)
    waiting = asyncio.create_task(patiently("the bucket", asyncio.to_thread, store.ensure_bucket, stopping=stopping))
    await until(lambda: len(store.calls) >= 1)
    stopping.set()
    assert await asyncio.wait_for(waiting, 10) is False
