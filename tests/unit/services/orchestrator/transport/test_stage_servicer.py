"""What workers are told and what they say, over the wire: work of each kind, directives, and faults by their paths."""

from typing import Any

import pytest

from retain.mapper import to_value
from retain.orchestrator.v1 import resources_pb2 as resources
from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from retain.types.v1 import values_pb2
from retain.values import (
    CheckpointRef,
    PreparedFolder,
    PrepareStage,
    PrepareWork,
    ReleaseWork,
    SetUse,
    StagePhase,
    StageWork,
    Verdict,
)
from services.common.errors import InvalidInput
from services.orchestrator.domain.policy.ladder import Mix
from services.orchestrator.domain.run.events import ProgressReported, StageEnded
from services.orchestrator.domain.run.state import Directive
from services.orchestrator.transport.stage_servicer import StageControlServicer
from tests.unit.services.orchestrator.specs import spec

REF = CheckpointRef(uri="s3://retain/a", manifest_sha256="m", weights_digest="w", step=3, tokens=30)


class Stages:
    """A stage service that answers with what it was given, and keeps what it was told."""

    def __init__(self, answer: Any = None) -> None:
        self._answer = answer
        self.told: list[Any] = []

    async def begin_attempt(self, run_id: str, submission: int, request_id: str) -> Any:
        return self._answer

    async def directive(self, run_id: str, **fence: int) -> Any:
        return self._answer

    async def report_progress(self, run_id: str, event: ProgressReported, heartbeat: int) -> None:
        self.told.append(event)

    async def end_stage(self, run_id: str, event: StageEnded) -> None:
        self.told.append(event)


def servicer(answer: Any = None) -> tuple[StageControlServicer, Stages]:
    stages = Stages(answer)
    return StageControlServicer(stages, None), stages  # type: ignore[arg-type]


WORKS = [
    ("release", ReleaseWork(reason="the run is SUCCEEDED")),
    (
        "prepare",
        PrepareWork(
            attempt=2,
            spec=spec(),
            stages=(PrepareStage(index=0, name="pretrain", sources={"general": "s3://retain/x"}, target="general"),),
            base=REF,
        ),
    ),
    (
        "stage",
        StageWork(
            attempt=1,
            index=1,
            name="midtrain/code",
            spec=spec(),
            output_uri="s3://retain/out",
            parent=REF,
            target="code",
            shards=(PreparedFolder(name="code", uri="s3://retain/p", digest="d", tokens=5),),
            tokenizer=PreparedFolder(name="tokenizer", uri="s3://retain/t", digest="t"),
            shares={"general": 0.1},
            lr_scale=0.5,
            total_steps=100,
            steps_per_boundary=10,
        ),
    ),
]


@pytest.mark.parametrize(("kind", "work"), WORKS, ids=[kind for kind, _ in WORKS])
async def test_work_arrives_as_it_was_handed_out(kind: str, work: Any) -> None:
    asked, _ = servicer(work)
    response = await asked.BeginAttempt(pb.BeginAttemptRequest(run_id="r", submission=1, request_id="q"), None)
    assert response.WhichOneof("work") == kind
    assert to_value(getattr(response, kind), type(work)) == work


async def test_a_directive_says_verdict_and_mix_and_none_is_pending() -> None:
    told, _ = servicer(
        Directive(boundary=1, verdict=Verdict.ADJUST, mix=Mix(shares={"general": 0.2}, lr_scale=0.5), message="why")
    )
    response = await told.GetDirective(pb.GetDirectiveRequest(run_id="r", boundary=1), None)
    assert (response.verdict, response.lr_scale, response.message) == (resources.VERDICT_ADJUST, 0.5, "why")
    assert (dict(response.shares), response.pending) == ({"general": 0.2}, False)
    assert (await servicer()[0].GetDirective(pb.GetDirectiveRequest(run_id="r"), None)).pending


async def test_a_phase_that_nobody_knows_is_none() -> None:
    asked, stages = servicer()
    for number in (resources.STAGE_PHASE_SAVING, 99):
        await asked.ReportProgress(pb.ReportProgressRequest(run_id="r", phase=number), None)  # type: ignore[arg-type]
    assert [event.phase for event in stages.told] == [StagePhase.SAVING, StagePhase.UNSPECIFIED]


async def test_an_end_carries_what_was_prepared_and_what_is_damaged() -> None:
    asked, stages = servicer()
    sets = [values_pb2.EvalSetRef(name="general", role=values_pb2.SET_ROLE_RETENTION)]
    request = pb.EndStageRequest(
        run_id="r",
        outcome=pb.END_OUTCOME_INTERRUPTED,
        prepared=pb.PreparedData(stages=[pb.PreparedStage(sets=sets)]),
        damaged=values_pb2.CheckpointRef(uri="s3://retain/a", step=3),
    )
    await asked.EndStage(request, None)
    (event,) = stages.told
    assert (event.failed, event.interrupted) == (False, True)
    assert event.damaged == CheckpointRef(uri="s3://retain/a", step=3)
    assert event.prepared.stages[0].sets[0].use is SetUse.CONTROL
    assert (event.prepared.base, event.prepared.stages[0].passes) == (None, None)


async def test_a_set_without_a_role_and_an_end_without_a_name_are_refused() -> None:
    asked, stages = servicer()
    prepared = pb.PreparedData(stages=[pb.PreparedStage(), pb.PreparedStage(sets=[values_pb2.EvalSetRef(name="a")])])
    with pytest.raises(InvalidInput, match=r"stages\[1\].sets\[0\].role: got UNSPECIFIED; expected TARGET, RET"):
        await asked.EndStage(pb.EndStageRequest(outcome=pb.END_OUTCOME_COMPLETED, prepared=prepared), None)
    prepared.stages[1].sets[0].role = 9  # type: ignore[assignment]
    with pytest.raises(InvalidInput, match=r"stages\[1\].sets\[0\].role: got 9; expected TARGET, RETENTION"):
        await asked.EndStage(pb.EndStageRequest(outcome=pb.END_OUTCOME_COMPLETED, prepared=prepared), None)
    for outcome in (0, 9):
        with pytest.raises(InvalidInput, match=r"outcome: got .*expected COMPLETED, FAILED, INTERRUPTED"):
            await asked.EndStage(pb.EndStageRequest(outcome=outcome), None)  # type: ignore[arg-type]
    assert stages.told == []
