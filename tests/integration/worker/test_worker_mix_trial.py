"""A worker that is asked to try mixes before its stage: a real object store with the keys of the run alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from retain.orchestrator.v1 import stage_control_service_pb2 as pb
from tests.contract.object_store_servers import Server, minio_server, running
from tests.fakes.stage_control import FakeStageControl
from tests.integration.worker.harness import (
    CONTEXT,
    SEQUENCES,
    connect,
    orchestrator,
    point_worker_at,
    small_spec,
    small_stages,
    work,
)

pytestmark = pytest.mark.integration
BUCKET = "retain"


@pytest.fixture(scope="module")
def server(shared_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(minio_server(tmp_path_factory.mktemp("minio"), shared_tools)) as server:
        yield server


def test_mixes_are_tried_reported_once_more_after_a_lost_reply_and_the_answer_is_trained_with(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server, BUCKET)
    control = FakeStageControl(small_spec(), small_stages())
    control.trials[1] = pb.MixTrialWork(steps=2, learning_rate=5e-3, rank=2, shares=[0.0, 1.0])
    control.chosen = {"general": 0.5}
    control.lost_replies["ReportMixTrial"] = 1
    with orchestrator(control):
        work(point_worker_at(monkeypatch, endpoint=server.endpoint, bucket=BUCKET, control=control, cache=tmp_path))
    assert not control.failed, control.ended
    first, again = control.tried
    assert list(first.points) == list(again.points)
    assert first.tokens == 2 * 2 * SEQUENCES * CONTEXT, "both runs"
    only_target, only_old = first.points
    assert (only_target.share, only_old.share) == (0.0, 1.0)
    assert only_target.target_loss_nats < only_old.target_loss_nats, "who read mathematics knows it better"
    assert only_old.forgetting_nats["general"] < only_target.forgetting_nats["general"]
    assert len(control.checkpoints[1]) == 2, "and the stage was trained to its end"
    assert control.begun.count((1, control.begun[-1][1])) == 1
