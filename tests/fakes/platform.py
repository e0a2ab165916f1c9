"""A real orchestrator with fake workers and a fake evaluator: `python -m tests.fakes.platform [PORT [EVALUATOR_PORT]]`.

Everything but the training is real: gRPC, the core, the reconcile loop, a SQLite database. With `--demo` (its default
on the command line) it starts runs in various states: succeeded, running, queued, suspended, failed, cancelled.
"""

import argparse
import asyncio
import contextlib
import tempfile
from pathlib import Path

from prometheus_client import CollectorRegistry

from retain.evaluator.v1 import service_pb2_grpc as evaluator_grpc
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import orchestrator_service_pb2_grpc as pb_grpc
from retain.types.v1 import spec_pb2
from retain.values import GetLoginResponse
from services.common.grpc.server import GrpcServer
from services.common.identity.oidc_settings import OidcSettings
from services.common.identity.tokens import FirstOf
from services.common.tls.settings import ServerTls
from services.orchestrator.adapters.database import connect, executor
from services.orchestrator.adapters.evaluator_client import EvaluatorClient
from services.orchestrator.adapters.identity_records import SqlIdentity
from services.orchestrator.adapters.persistence.projects import SqlProjects
from services.orchestrator.adapters.repository import SqlRepository
from services.orchestrator.app import Orchestrator, Ports
from services.orchestrator.application.ports import EvaluatorPort
from services.orchestrator.application.reconciler import Timing
from tests.fakes.evaluator import FakeEvaluator, FakeEvaluatorServicer
from tests.fakes.launcher import FakeLauncher
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.simulated_training import SimulatedTraining
from tests.identity import KNOWN, SERVICE, access, aio_channel

FAST = Timing(pass_every_s=0.1, job_poll_s=0.1, stall_timeout_s=45.0, start_timeout_s=60.0, max_restarts=3)


class Platform:
    """One orchestrator and its fakes. `evaluator` other than None replaces the in-process one."""

    def __init__(
        self,
        database: str,
        *,
        simulated: SimulatedTraining | None = None,
        slots: int = 2,
        timing: Timing = FAST,
        evaluator: EvaluatorPort | None = None,
        store: FakeObjectStore | None = None,
        launcher: FakeLauncher | None = None,
        provider: OidcSettings | None = None,
        bind: str = "127.0.0.1:0",
        tls: ServerTls | None = None,
    ) -> None:
        self.simulated = simulated or SimulatedTraining()
        self.store = store or FakeObjectStore()
        self.evaluator = evaluator or FakeEvaluator(self.simulated)
        self.port = 0
        self.launcher = launcher or FakeLauncher(self._address_of_workers, self.simulated, self.store)
        self._engine = connect(database)
        self._executor = executor(self._engine)
        self.repository = SqlRepository(self._engine)
        people = provider.tokens() if provider else None
        self.orchestrator = Orchestrator(
            Ports(
                repository=self.repository,
                executor=self._executor,
                launcher=self.launcher,
                evaluator=self.evaluator,
                store=self.store,
                identity=SqlIdentity(self._engine),
                projects=SqlProjects(self._engine),
                tokens=FirstOf([KNOWN, *([people] if people else [])]),
                login=provider.login if provider else GetLoginResponse(),
            ),
            bind=bind,
            tls=tls,
            slots=slots,
            timing=timing,
            hold_s=1.0,
            evaluation_poll_s=0.02,
        )

    def _address_of_workers(self) -> str:
        return f"127.0.0.1:{self.orchestrator.server.internal_port or self.port}"

    async def start(self) -> int:
        """Serve; returns the port."""
        self.port = await self.orchestrator.start()
        return self.port

    async def stop(self, *, workers: bool = True) -> None:
        """Stop serving; with `workers` also end the fake jobs."""
        await self.orchestrator.stop(0.2)
        if workers:
            await asyncio.to_thread(self.launcher.close)
        self._executor.shutdown(wait=True)
        self._engine.dispose()


def demo_spec(name: str = "demo", **forgetting: object) -> spec_pb2.PipelineSpec:
    """Pre-training, code, chat, small enough for seconds."""
    spec = spec_pb2.PipelineSpec(name=name)
    spec.model.preset = "nano"
    spec.tokenizer.train.vocab_size = 4096
    pretrain = spec.stages.add(kind=spec_pb2.STAGE_KIND_PRETRAIN)
    pretrain.data.general = "sample://docs"
    pretrain.duration.steps = 100
    code = spec.stages.add(kind=spec_pb2.STAGE_KIND_MIDTRAIN, domain=spec_pb2.DOMAIN_CODE)
    code.data.domain = "sample://code"
    code.data.general_share = 0.02
    code.duration.steps = 100
    chat = spec.stages.add(kind=spec_pb2.STAGE_KIND_FINETUNE)
    chat.data.chat = "sample://chat"
    chat.duration.steps = 40
    for stage in spec.stages:
        stage.batch.sequences = 8
    spec.evaluation.every.steps = 10
    spec.forgetting.controller, spec.forgetting.stop_on = spec_pb2.CONTROLLER_LADDER, spec_pb2.STOP_ON_RAW
    for key, value in forgetting.items():
        setattr(spec.forgetting, key, value)
    return spec


async def serve(port: int, evaluator_port: int, *, demo: bool) -> None:
    """Serve until cancelled."""
    simulated = SimulatedTraining(steps_per_s=40.0)
    servicer = FakeEvaluatorServicer(simulated)
    evaluator = GrpcServer(
        bind=f"127.0.0.1:{evaluator_port}",
        services={
            "retain.evaluator.v1.EvaluatorService": (
                evaluator_grpc.add_EvaluatorServiceServicer_to_server,
                servicer,
            )
        },
        registry=CollectorRegistry(),
        access=access(),
    )
    bound = await evaluator.start()
    with tempfile.TemporaryDirectory() as folder:
        channel = aio_channel(f"127.0.0.1:{bound}", token=SERVICE)
        platform = Platform(
            f"sqlite:///{Path(folder) / 'fake.db'}",
            simulated=simulated,
            evaluator=EvaluatorClient(channel),
            bind=f"127.0.0.1:{port}",
        )
        print(f"orchestrator 127.0.0.1:{await platform.start()}  evaluator 127.0.0.1:{bound}", flush=True)
        try:
            if demo:
                await start_demo(platform)
            await asyncio.Event().wait()
        finally:
            await platform.stop()
            await channel.close()
            await evaluator.stop(0.2)


async def start_demo(platform: Platform) -> None:
    """Runs in every state: they come to it within half a minute."""
    async with aio_channel(f"127.0.0.1:{platform.port}") as channel:
        stub = pb_grpc.OrchestratorServiceStub(channel)

        async def create(spec: spec_pb2.PipelineSpec) -> str:
            reply = await stub.CreatePipelineRun(pb.CreatePipelineRunRequest(spec=spec))
            return reply.run.id

        platform.launcher.fail_prepare = ("SOURCE_EMPTY", "stages[0].data.general: sample://docs has no documents")
        await create(demo_spec("failed"))
        await asyncio.sleep(1.5)
        platform.launcher.fail_prepare = None
        await create(demo_spec("succeeded"))
        await create(demo_spec("suspended", action=0.02, minor=0.01, stop=0.03, budget=0.02, max_retries=0, settle=0.0))
        slow = demo_spec("running")
        slow.stages[0].duration.steps = 100_000
        slow.evaluation.every.steps = 500
        slow.compute.workers = 2
        await create(slow)
        cancelled = await create(demo_spec("cancelled"))
        await stub.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id=cancelled))
        await create(demo_spec("queued"))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int, nargs="?", default=7070)
    parser.add_argument("evaluator_port", type=int, nargs="?", default=7071)
    parser.add_argument("--demo", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.port, arguments.evaluator_port, demo=arguments.demo))


if __name__ == "__main__":
    main()
