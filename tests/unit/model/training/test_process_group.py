"""Two and three processes train one model: the same as one process up to rounding, and bit for bit the same again."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from model.checkpointing import checkpoint
from model.errors import BadConfig, NonFinite
from model.training.acceleration import Acceleration
from model.training.job import Directive, Interruption, Verdict
from model.training.loop import train_stage
from model.training.process_group import ProcessGroup
from tests.gloo_group import spawn_gloo_group
from tests.unit.model.training_helpers import ListPorts, fresh_model, make_job, resumed, weights_sha256, write_snapshot

ADJUST = {1: Directive(verdict=Verdict.ADJUST, shares={"general": 0.6}, lr_scale=0.5)}


def everything(folder: Path) -> None:
    """In one set of processes (starting them is what costs): an undisturbed stage, the same resumed, and faults."""
    torch.set_num_threads(1)
    group = ProcessGroup.current()
    undisturbed(group, folder)
    dist.barrier()
    from_first_checkpoint(group, folder)
    told_to_leave(group, folder)
    smaller_and_larger(group, folder)
    in_pieces(group, folder)
    errors_are_shared(group)


def undisturbed(group: ProcessGroup, folder: Path) -> None:
    """Every rank ends with the same weights; the first writes its losses and its checkpoints."""
    job, ports = make_job(), ListPorts(last=3, directives=ADJUST)
    train_stage(job, ports, group)
    (folder / f"sha-{group.rank}").write_text(weights_sha256(job.model, folder / f"model-{group.rank}"))
    assert (ports.beats > 0) is group.is_rank_zero
    if group.is_rank_zero:
        (folder / "losses").write_text(json.dumps(ports.losses))
        write_snapshot(ports.snapshots[1], folder / "checkpoint-1")


def told_to_leave(group: ProcessGroup, folder: Path) -> None:
    """The first rank is told in the midst of a step: every rank finishes it, and the stage resumes from there."""
    ports = ListPorts(last=3, directives=ADJUST, leave_at_step=5)
    outcome = train_stage(make_job(), ports, group)
    assert (outcome.interruption, outcome.step) == (Interruption.LEAVE, 6)
    assert (ports.interim is not None) is group.is_rank_zero
    if ports.interim is not None:
        write_snapshot(ports.interim, folder / "interim")
    dist.barrier()
    job = resumed(folder / "interim")
    train_stage(job, ListPorts(last=3, directives=ADJUST), group)
    (folder / f"sha-after-leaving-{group.rank}").write_text(weights_sha256(job.model, folder / f"left-{group.rank}"))


def from_first_checkpoint(group: ProcessGroup, folder: Path) -> None:
    job = resumed(folder / "checkpoint-1")
    train_stage(job, ListPorts(last=3, directives=ADJUST), group)
    (folder / f"sha-resumed-{group.rank}").write_text(weights_sha256(job.model, folder / f"resumed-{group.rank}"))


def smaller_and_larger(group: ProcessGroup, folder: Path) -> None:
    """The second interval by the first rank alone, the third by the group again; each says which rows it drew."""
    if group.is_rank_zero:
        stop = {**ADJUST, 2: Directive(verdict=Verdict.STOP)}
        job, ports = resumed(folder / "checkpoint-1"), ListPorts(last=3, directives=stop)
        train_stage(job, ports, ProcessGroup())
        write_snapshot(ports.snapshots[2], folder / "checkpoint-2")
        alone = {"losses": ports.losses, "drawn": job.stream.drawn}
    dist.barrier()
    job, ports = resumed(folder / "checkpoint-2"), ListPorts(last=3)
    train_stage(job, ports, group)
    if group.is_rank_zero:
        together = {"losses": ports.losses, "drawn": job.stream.drawn}
        (folder / "elastic").write_text(json.dumps([alone, together]))


def in_pieces(group: ProcessGroup, folder: Path) -> None:
    """FSDP2, over gloo here and over NCCL on GPUs: undisturbed, and resumed from its first checkpoint."""
    pieces = Acceleration(sharded=True)
    whole, ports = make_job(acceleration=pieces), ListPorts(last=3, directives=ADJUST)
    train_stage(whole, ports, group)
    if group.is_rank_zero:
        write_snapshot(ports.snapshots[1], folder / "pieces-1")
        write_snapshot(ports.snapshots[3], folder / "pieces-3")
        (folder / "pieces").write_text(json.dumps(ports.losses))
    dist.barrier()
    again, ports = resumed(folder / "pieces-1", acceleration=pieces), ListPorts(last=3, directives=ADJUST)
    train_stage(again, ports, group)
    if group.is_rank_zero:
        write_snapshot(ports.snapshots[3], folder / "pieces-resumed-3")


def errors_are_shared(group: ProcessGroup) -> None:
    def fails() -> None:
        raise NonFinite("x", "nan", "numbers")

    with pytest.raises(NonFinite):
        group.run_on_rank_zero(fails)
    assert group.run_on_rank_zero(lambda: group.rank) == 0
    with pytest.raises(BadConfig, match="rank 1"):
        group.run_on_all(lambda: 1 if group.rank == 0 else (_ for _ in ()).throw(BadConfig("x", "rank 1", "none")))
    assert group.run_on_all(lambda: group.rank) == group.rank
    interrupted = train_stage(make_job(), ListPorts(last=3, interrupt_at_step=6), group)
    assert (interrupted.directive, interrupted.step) == (None, 6)


@pytest.fixture(scope="module", params=[2, 3])
def group(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    folder = tmp_path_factory.mktemp("group")
    spawn_gloo_group(request.param, everything, folder)
    return request.param, folder


def test_a_group_trains_as_one_process_and_resumes_bit_for_bit(group: tuple[int, Path]) -> None:
    size, folder = group
    alone = ListPorts(last=3, directives=ADJUST)
    train_stage(make_job(), alone)
    assert json.loads((folder / "losses").read_text()) == pytest.approx(alone.losses, rel=1e-4)
    ended = {(folder / f"sha-{rank}").read_text() for rank in range(size)}
    assert len(ended) == 1
    assert {(folder / f"sha-resumed-{rank}").read_text() for rank in range(size)} == ended
    assert {(folder / f"sha-after-leaving-{rank}").read_text() for rank in range(size)} == ended


def test_fewer_workers_resume_where_more_stopped(group: tuple[int, Path]) -> None:
    """Elastic: the first interval by the group, the rest by one worker: each row once, the same loss curve."""
    size, folder = group
    fixed = ListPorts(last=3, directives=ADJUST)
    train_stage(make_job(), fixed)
    job, alone = resumed(folder / "checkpoint-1"), ListPorts(last=3, directives=ADJUST)
    assert job.resume.world_size == size
    train_stage(job, alone)
    assert alone.losses == pytest.approx(fixed.losses[4:], rel=1e-3)
    assert job.stream.drawn == list(range(4 * 4, 12 * 4))


def test_a_group_that_shrinks_and_grows_sees_every_row_once(group: tuple[int, Path]) -> None:
    """Elastic, 2 -> 1 -> 2 (and 3 -> 1 -> 3): the loss curve is that of the fixed group up to rounding."""
    _, folder = group
    fixed = json.loads((folder / "losses").read_text())
    alone, together = json.loads((folder / "elastic").read_text())
    assert alone["drawn"] + together["drawn"] == list(range(4 * 4, 12 * 4))
    assert alone["losses"] + together["losses"] == pytest.approx(fixed[4:], rel=1e-4)


def test_in_pieces_it_trains_as_whole_and_resumes_bit_for_bit(group: tuple[int, Path]) -> None:
    _, folder = group
    assert json.loads((folder / "pieces").read_text()) == pytest.approx(
        json.loads((folder / "losses").read_text()), rel=1e-4
    )
    ended = [
        checkpoint.file_sha256(folder / name / "model" / "model.safetensors")
        for name in ("pieces-3", "pieces-resumed-3")
    ]
    assert ended[0] == ended[1]


def test_rows_are_dealt_out_once() -> None:
    for size in (1, 2, 3, 4):
        rows = [list(range(10))[ProcessGroup(rank=rank, size=size).rows(10)] for rank in range(size)]
        assert [row for part in rows for row in part] == list(range(10))
        assert max(map(len, rows)) - min(map(len, rows)) <= 1
    with pytest.raises(BadConfig, match="each of 3 workers"):
        ProcessGroup(rank=0, size=3).rows(2)


def test_the_model_of_a_checkpoint_is_the_model(tmp_path: Path) -> None:
    ports = ListPorts(last=3)
    job = make_job(model=fresh_model(3))
    train_stage(job, ports)
    folder = write_snapshot(ports.snapshots[3], tmp_path / "end")
    assert checkpoint.file_sha256(folder / "model" / "model.safetensors") == weights_sha256(job.model, tmp_path / "m")
