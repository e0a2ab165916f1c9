"""Projects end to end: a real orchestrator and the evaluator's real servicer, asked with tokens of two projects."""

import contextlib
import importlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from retain.evaluator.v1 import service_pb2_grpc as evaluator_grpc
from retain.orchestrator.v1 import checkpoint_service_pb2 as checkpoint_pb
from retain.orchestrator.v1 import identity_service_pb2 as identity_pb
from retain.orchestrator.v1 import identity_service_pb2_grpc as identity_grpc
from retain.orchestrator.v1 import orchestrator_service_pb2 as pb
from retain.orchestrator.v1 import project_service_pb2 as project_pb
from retain.orchestrator.v1 import project_service_pb2_grpc as project_grpc
from retain.orchestrator.v1 import resources_pb2 as resources
from retain.types.v1 import spec_pb2
from services.common.grpc.server import GrpcServer
from services.common.identity.access import AccessInterceptor, Guarded
from services.common.identity.permissions import METHODS, PERMISSIONS, Permission
from services.common.identity.principal import Role
from services.common.identity.tokens import FirstOf
from services.evaluator.adapters.callers import AskOrchestrator
from services.evaluator.adapters.owners import AskOwners
from services.evaluator.adapters.previewer import SourcePreviewer
from services.evaluator.adapters.source_rules import AskSourceRules
from services.evaluator.application.measuring_thread import MeasuringThread
from services.evaluator.application.previews import Previews
from services.evaluator.application.sampling import Sampling
from services.evaluator.application.scoped import ScopedEvaluator
from services.evaluator.transport.servicer import EvaluatorServicer
from tests.fakes.object_store import FakeObjectStore
from tests.fakes.platform import demo_spec
from tests.identity import ADMIN, KNOWN, SERVICE, VIEWER, bearer
from tests.integration.orchestrator.harness import Client, orchestrator, status_of, without_forgetting
from tests.unit.services.evaluator.application.test_file_evaluations import Here
from tests.unit.services.evaluator.application.test_sampling import Told, words
from tests.unit.services.evaluator.builders import request as evaluation_request
from tests.unit.services.evaluator.harness import FakeMeasurer, Harness, ended

pytestmark = pytest.mark.integration
SHA = "ab" * 32
SERVICES = {
    "retain.orchestrator.v1.OrchestratorService": "retain.orchestrator.v1.orchestrator_service_pb2",
    "retain.orchestrator.v1.CheckpointService": "retain.orchestrator.v1.checkpoint_service_pb2",
    "retain.orchestrator.v1.ProjectService": "retain.orchestrator.v1.project_service_pb2",
    "retain.evaluator.v1.EvaluatorService": "retain.evaluator.v1.service_pb2",
}
LISTS = {
    "ListPipelineRuns": "runs",
    "ListCheckpoints": "checkpoints",
    "ListProjects": "projects",
    "ListEvaluations": "evaluations",
}


@dataclass(kw_only=True)
class Two:
    """An installation with the projects a and b, a finished run in a, and the evaluator beside it."""

    client: Client
    evaluator: str
    tokens: dict[str, str]
    run: resources.PipelineRun
    checkpoint: resources.Checkpoint

    @property
    def orchestrator(self) -> str:
        return f"127.0.0.1:{self.client.platform.port}"

    async def call(self, method: str, request: Any, token: str) -> list[Any]:
        """Every response of a call."""
        service, name = method.strip("/").split("/")
        module = importlib.import_module(SERVICES[service])
        described = module.DESCRIPTOR.services_by_name[service.rpartition(".")[2]].methods_by_name[name]
        reply = getattr(module, described.output_type.name)
        address = self.evaluator if "evaluator" in service else self.orchestrator
        async with grpc.aio.insecure_channel(address) as channel:
            kind = channel.unary_stream if described.server_streaming else channel.unary_unary
            made = kind(
                method, request_serializer=lambda m: m.SerializeToString(), response_deserializer=reply.FromString
            )
            call = made(request, timeout=20, metadata=bearer(token))
            return [one async for one in call] if described.server_streaming else [await call]

    def of_a(self, method: str) -> Any:
        """A request for what belongs to a, by the names of its fields."""
        service, name = method.strip("/").split("/")
        module = importlib.import_module(SERVICES[service])
        described = module.DESCRIPTOR.services_by_name[service.rpartition(".")[2]].methods_by_name[name]
        request = getattr(module, described.input_type.name)()
        values = {
            "run_id": self.run.id,
            "checkpoint_id": self.checkpoint.id,
            "evaluation_id": "of-a",
            "uri": "s3://retain/uploads/a.model",
            "project": "b" if "hareCheckpoint" in name else "a",
            "name": "a",
            "action": pb.APPROVE_ACTION_ACCEPT,
            "sha256": SHA,
            "file_name": "data.jsonl",
            "prompt": "Once",
            "role": "general",
        }
        for field, value in values.items():
            if field in described.input_type.fields_by_name:
                setattr(request, field, value)
        if "spec" in described.input_type.fields_by_name:
            request.spec.CopyFrom(demo_spec())
        if name == "EvaluateFile":
            request.uri = f"s3://retain/uploads/{'b' * 64}/data.txt"
        if name in ("SampleText", "EvaluateFile"):
            request.checkpoint.CopyFrom(self.checkpoint.ref)
        return request


def tiny() -> spec_pb2.PipelineSpec:
    """Pre-training alone, with two boundaries."""
    spec = demo_spec("tiny")
    del spec.stages[1:]
    spec.stages[0].duration.steps = 20
    return spec


async def project(client: Client, name: str, **quotas: Any) -> None:
    stub: Any = project_grpc.ProjectServiceStub(client.channel)
    await stub.CreateProject(project_pb.CreateProjectRequest(name=name, quotas=project_pb.ProjectQuotas(**quotas)))


async def token(client: Client, name: str, *projects: str, role: str = "operator") -> str:
    stub: Any = identity_grpc.IdentityServiceStub(client.channel)
    request = identity_pb.CreateTokenRequest(name=name, roles=[role], projects=projects)
    return (await stub.CreateToken(request)).secret


async def create(client: Client, token: str, spec: spec_pb2.PipelineSpec | None = None, **how: Any) -> Any:
    request = pb.CreatePipelineRunRequest(spec=spec or tiny(), **how)
    return (await client.runs.CreatePipelineRun(request, metadata=bearer(token))).run


@contextlib.asynccontextmanager
async def evaluator(two: Client, run_id: str) -> AsyncIterator[str]:
    """The evaluator's servicer over gRPC, with an evaluation of the run."""
    harness = Harness(FakeMeasurer(base=1.0, now=1.1))
    sync = grpc.insecure_channel(f"127.0.0.1:{two.platform.port}")
    async with harness.serving() as service:
        await service.create("of-a", evaluation_request(run=run_id))
        await ended(service, "of-a")
        rules = AskSourceRules(sync, token=SERVICE)
        files = Here(rules=rules).files
        sampling = Sampling(Told(words), MeasuringThread("sample"))
        scoped = ScopedEvaluator(service, sampling, AskOwners(sync, token=SERVICE), files)
        previews = Previews(rules, SourcePreviewer(FakeObjectStore()), AskOwners(sync, token=SERVICE))
        servicer = EvaluatorServicer(service, scoped, None, previews)  # type: ignore[arg-type]  # nothing is exported here
        server = GrpcServer(
            bind="127.0.0.1:0",
            services={
                "retain.evaluator.v1.EvaluatorService": (
                    evaluator_grpc.add_EvaluatorServiceServicer_to_server,
                    servicer,
                )
            },
            registry=CollectorRegistry(),
            access=AccessInterceptor(Guarded(FirstOf([KNOWN, AskOrchestrator(sync)]))),
        )
        port = await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(0.2)
            sync.close()


@contextlib.asynccontextmanager
async def two_projects(folder: Path) -> AsyncIterator[Two]:
    async with orchestrator(folder) as client:
        await project(client, "a")
        await project(client, "b")
        tokens = {
            "a": await token(client, "ann", "a"),
            "b": await token(client, "bob", "b"),
            "both": await token(client, "cleo", "a", "b"),
        }
        made = await create(client, tokens["a"])
        run = await client.end(made.id)
        assert run.status.state == resources.RUN_STATE_SUCCEEDED
        checkpoint = next(c for c in await client.lineage(run.id) if c.state == resources.CHECKPOINT_STATE_ACCEPTED)
        async with evaluator(client, run.id) as address:
            yield Two(client=client, evaluator=address, tokens=tokens, run=run, checkpoint=checkpoint)


def people_call() -> list[str]:
    """Every method that an operator may call on a project's things."""
    allowed = PERMISSIONS[Role.OPERATOR] - {Permission.WHO_AM_I}
    return sorted(method for method, needed in METHODS.items() if needed in allowed and method.startswith("/retain."))


async def test_nothing_of_a_project_is_there_for_another_whatever_is_called(tmp_path: Path) -> None:
    async with two_projects(tmp_path) as two:
        assert two.run.project == two.checkpoint.project == "a"
        walked = people_call()
        assert len(walked) >= 24
        for method in walked:
            service, name = method.strip("/").split("/")
            assert service in SERVICES, f"{method}: say here how it is asked for what belongs to others"
            request = two.of_a(method)
            if name == "GetSystemStatus":  # of the installation, for everybody: it names nothing of anybody
                (told,) = await two.call(method, request, two.tokens["b"])
                assert two.run.id not in str(told)
                up = {one.name for one in told.status.components if one.state == resources.COMPONENT_STATE_UP}
                assert up == {"database", "evaluator", "object_store", "ray"}
                continue
            if name in LISTS:
                if "project" in request.DESCRIPTOR.fields_by_name:
                    code, _ = await status_of(two.call(method, request, two.tokens["b"]))
                    assert code is grpc.StatusCode.NOT_FOUND, method
                (listed,) = await two.call(method, type(request)(), two.tokens["b"])
                (mine,) = await two.call(method, type(request)(), two.tokens["a"])
                assert [one for one in getattr(listed, LISTS[name]) if getattr(one, "name", "") != "b"] == [], method
                assert len(getattr(mine, LISTS[name])) >= 1, f"{method}: nothing is there for its own project either"
                continue
            code, said = await status_of(two.call(method, request, two.tokens["b"]))
            assert code is grpc.StatusCode.NOT_FOUND, f"{method}: {code} {said}"
            assert "project a" not in said, f"{method} tells whose it is: {said}"
        assert (await two.client.get(two.run.id)).status.state == resources.RUN_STATE_SUCCEEDED


async def test_its_own_project_and_an_admin_see_what_is_there(tmp_path: Path) -> None:
    async with two_projects(tmp_path) as two:
        for who in ("a", "both"):
            for name in ("GetPipelineRun", "WatchPipelineRun", "ListDecisions", "StreamLogs"):
                method = f"/retain.orchestrator.v1.OrchestratorService/{name}"
                await two.call(method, two.of_a(method), two.tokens[who])
            for name in ("GetCheckpoint", "ExportCheckpoint"):
                method = f"/retain.orchestrator.v1.CheckpointService/{name}"
                await two.call(method, two.of_a(method), two.tokens[who])
        for token_ in (two.tokens["a"], two.tokens["both"]):
            method = "/retain.evaluator.v1.EvaluatorService/GetEvaluation"
            (found,) = await two.call(method, two.of_a(method), token_)
            assert found.evaluation.project == "a"
        method = "/retain.evaluator.v1.EvaluatorService/SampleText"
        pieces = await two.call(method, two.of_a(method), two.tokens["a"])
        assert "".join(piece.text for piece in pieces) == " upon a time"
        code, _ = await status_of(two.client.runs.GetPipelineRun(
            pb.GetPipelineRunRequest(run_id=two.run.id), metadata=bearer(VIEWER)
        ))  # fmt: skip
        assert code is grpc.StatusCode.NOT_FOUND, "a viewer of `default` is none of a"
        assert (await two.client.get(two.run.id)).id == two.run.id


def built_on(uri: str) -> spec_pb2.PipelineSpec:
    """Mid-training on a checkpoint."""
    spec = without_forgetting()
    del spec.stages[2], spec.stages[0]
    spec.stages[0].duration.steps = 20
    spec.stages[0].data.general = "sample://docs"
    spec.model.checkpoint = uri
    spec.model.context = 256
    spec.ClearField("tokenizer")
    return spec


async def test_a_lineage_crosses_projects_only_where_a_checkpoint_is_shared(tmp_path: Path) -> None:
    async with two_projects(tmp_path) as two:
        base = two.checkpoint
        code, said = await status_of(create(two.client, two.tokens["b"], built_on(base.ref.uri)))
        assert code is grpc.StatusCode.FAILED_PRECONDITION, said
        assert "there is no checkpoint" in said
        share = checkpoint_pb.ShareCheckpointRequest(checkpoint_id=base.id, project="b")
        shared = await two.client.checkpoints.ShareCheckpoint(share, metadata=bearer(two.tokens["a"]))
        assert list(shared.checkpoint.shared_with) == ["b"]
        child = await create(two.client, two.tokens["b"], built_on(base.ref.uri))
        assert child.project == "b"
        void = checkpoint_pb.VoidCheckpointRequest(checkpoint_id=base.id)
        code, said = await status_of(two.client.checkpoints.VoidCheckpoint(void, metadata=bearer(two.tokens["b"])))
        assert (code, "shares it" in said) == (grpc.StatusCode.FAILED_PRECONDITION, True)
        code, said = await status_of(two.client.checkpoints.VoidCheckpoint(void, metadata=bearer(two.tokens["a"])))
        assert (code, child.id in said) == (grpc.StatusCode.FAILED_PRECONDITION, False), "the run of b is not named"
        delete = pb.DeletePipelineRunRequest(run_id=two.run.id)
        code, said = await status_of(two.client.runs.DeletePipelineRun(delete, metadata=bearer(two.tokens["a"])))
        assert (code, child.id in said) == (grpc.StatusCode.FAILED_PRECONDITION, False)
        unshare = checkpoint_pb.UnshareCheckpointRequest(checkpoint_id=base.id, project="b")
        await two.client.checkpoints.UnshareCheckpoint(unshare, metadata=bearer(two.tokens["a"]))
        code, _ = await status_of(create(two.client, two.tokens["b"], built_on(base.ref.uri)))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        ended_child = await two.client.end(child.id)
        assert ended_child.status.state == resources.RUN_STATE_SUCCEEDED, "what was begun continues"


async def test_uploads_and_sources_of_another_project_are_refused(tmp_path: Path) -> None:
    async with two_projects(tmp_path) as two:

        async def upload(who: str) -> Any:
            request = pb.CreateUploadRequest(sha256=SHA, file_name="data.jsonl", bytes=10)
            return await two.client.runs.CreateUpload(request, metadata=bearer(two.tokens[who]))

        of_a, of_b = await upload("a"), await upload("b")
        assert of_a.uri != of_b.uri, "the same bytes of two projects are two objects"
        spec = demo_spec()
        for place, allowed in ((of_a.uri, True), (of_b.uri, False), ("s3://retain/uploads", False),
                               ("s3://retain/projects/a/x", True), ("s3://retain/projects/b/x", False),
                               ("s3://retain/elsewhere/x", False)):  # fmt: skip
            spec.stages[0].data.general = place
            request = pb.ValidatePipelineSpecRequest(spec=spec)
            checked = await two.client.runs.ValidatePipelineSpec(request, metadata=bearer(two.tokens["a"]))
            assert [fault.field for fault in checked.violations] == ([] if allowed else ["stages[0].data.general"]), (
                place
            )


async def test_request_ids_are_of_their_project(tmp_path: Path) -> None:
    async with two_projects(tmp_path) as two:
        first = await create(two.client, two.tokens["a"], request_id="one")
        again = await create(two.client, two.tokens["a"], request_id="one")
        other = await create(two.client, two.tokens["b"], demo_spec("other"), request_id="one")
        assert first.id == again.id != other.id


async def test_what_is_new_goes_to_the_project_that_goes_without_saying(tmp_path: Path) -> None:
    async with two_projects(tmp_path) as two:
        assert (await two.client.create()).project == "default"
        assert (await create(two.client, two.tokens["b"])).project == "b"
        code, said = await status_of(create(two.client, two.tokens["both"]))
        assert (code, "expected one of a, b" in said) == (grpc.StatusCode.INVALID_ARGUMENT, True)
        assert (await create(two.client, two.tokens["both"], project="b")).project == "b"
        code, _ = await status_of(create(two.client, two.tokens["b"], project="a"))
        assert code is grpc.StatusCode.NOT_FOUND
        code, _ = await status_of(create(two.client, ADMIN, project="nobody"))
        assert code is grpc.StatusCode.NOT_FOUND


async def test_quotas_refuse_by_name_use_and_what_was_asked(tmp_path: Path) -> None:
    async with orchestrator(tmp_path, slots=4) as client:
        await project(client, "small", runs=2, slots=2, bytes=100)
        mine = await token(client, "dora", "small")
        large = demo_spec("large")
        large.compute.workers = 4
        code, said = await status_of(create(client, mine, large))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "quota of 2 worker slots; got 4 more" in said
        slow = demo_spec("slow")
        slow.stages[0].duration.steps = 100_000
        slow.compute.workers = 2
        first = await create(client, mine, slow)
        await client.until(first.id, lambda run: run.status.state == resources.RUN_STATE_RUNNING)
        second = await create(client, mine, slow)
        waits = await client.get(second.id)
        assert waits.status.state == resources.RUN_STATE_PENDING, "two slots are free, and the project has none left"
        assert "project small holds 2 of its quota of 2 worker slots; this run wants 2 more" in waits.status.waiting_for
        other = await client.create(tiny())
        assert (await client.end(other.id)).status.state == resources.RUN_STATE_SUCCEEDED, "others continue"
        code, said = await status_of(create(client, mine, slow))
        assert (code, "uses 2 of its quota of 2 runs" in said) == (grpc.StatusCode.FAILED_PRECONDITION, True)
        upload = pb.CreateUploadRequest(sha256=SHA, file_name="data.jsonl", bytes=101)
        code, said = await status_of(client.runs.CreateUpload(upload, metadata=bearer(mine)))
        assert (code, "of its quota of 100 bytes" in said) == (grpc.StatusCode.FAILED_PRECONDITION, True)
        request = pb.ValidatePipelineSpecRequest(spec=slow)
        plan = (await client.runs.ValidatePipelineSpec(request, metadata=bearer(mine))).plan
        asked = {quota.quota: (quota.limit, quota.used, quota.asked) for quota in plan.queue.quotas}
        assert asked["runs"] == (2, 2, 1)
        assert asked["slots"] == (2, 2, 2)
        assert (plan.queue.project, plan.queue.position, plan.queue.slots_ahead) == ("small", 2, 2)
        stub: Any = project_grpc.ProjectServiceStub(client.channel)
        shown = (await stub.GetProject(project_pb.GetProjectRequest(name="small"), metadata=bearer(mine))).project
        assert (shown.use.runs, shown.use.slots, shown.use.waiting) == (2, 2, 1)
        await client.runs.CancelPipelineRun(pb.CancelPipelineRunRequest(run_id=first.id), metadata=bearer(mine))
        await client.until(second.id, lambda run: run.status.state == resources.RUN_STATE_RUNNING)
        code, said = await status_of(
            stub.CreateProject(project_pb.CreateProjectRequest(name="mine"), metadata=bearer(mine))
        )
        assert code is grpc.StatusCode.PERMISSION_DENIED
        raised = project_pb.UpdateProjectRequest(name="small", quotas=project_pb.ProjectQuotas(runs=3))
        changed = (await stub.UpdateProject(raised)).project
        assert (changed.quotas.runs, changed.quotas.HasField("slots"), changed.weight) == (3, False, 1.0)
        assert (await create(client, mine, slow)).project == "small"


async def test_projects_and_their_runs_survive_a_restart(tmp_path: Path) -> None:
    async with orchestrator(tmp_path) as client:
        await project(client, "a", runs=1)
        mine = await token(client, "ann", "a")
        slow = demo_spec("slow")
        slow.stages[0].duration.steps = 100_000
        run = await create(client, mine, slow)
    async with orchestrator(tmp_path) as client:
        found = await client.runs.GetPipelineRun(pb.GetPipelineRunRequest(run_id=run.id), metadata=bearer(mine))
        assert found.run.project == "a"
        code, _ = await status_of(create(client, mine, slow))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
