"""A stage of each family in pieces (FSDP2) on two processes: the losses and the model of a stage with whole copies."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from model.checkpointing.hf import load_pretrained
from model.families.config import from_hf
from model.families.names import FAMILIES
from model.families.reference import write_reference
from model.families.tiny import tiny_config
from model.training.acceleration import Acceleration
from model.training.loop import train_stage
from model.training.process_group import ProcessGroup
from tests.gloo_group import spawn_gloo_group
from tests.unit.model.training_helpers import ListPorts, make_job, resumed, write_snapshot

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def train_all(folder: Path) -> None:
    """Each family whole, in pieces, and in pieces resumed half-way; what came of it as files, by the first rank."""
    torch.set_num_threads(1)
    group = ProcessGroup.current()
    for name in FAMILIES:
        for way in ("whole", "pieces"):
            how = Acceleration(sharded=way == "pieces")
            job, ports = make_job(8, model=load_pretrained(folder / name), acceleration=how), ListPorts(last=2)
            train_stage(job, ports, group)
            if group.is_rank_zero:
                (folder / f"{name}-{way}.json").write_text(json.dumps(ports.losses))
                for number in (1, 2):
                    write_snapshot(ports.snapshots[number], folder / f"{name}-{way}-{number}")
        dist.barrier()
        again = resumed(
            folder / f"{name}-pieces-1",
            lambda **given: make_job(8, **given),
            acceleration=Acceleration(sharded=True),
        )
        ports = ListPorts(last=2)
        train_stage(again, ports, group)
        if group.is_rank_zero:
            write_snapshot(ports.snapshots[2], folder / f"{name}-resumed-2")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("families")
    for name in FAMILIES:
        write_reference(from_hf(tiny_config(name)), folder / name)
    spawn_gloo_group(2, train_all, folder)
    return folder


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_family_in_pieces_learns_what_it_learns_whole(name: str, trained: Path) -> None:
    whole, pieces = (json.loads((trained / f"{name}-{way}.json").read_text()) for way in ("whole", "pieces"))
    assert pieces == pytest.approx(whole, rel=1e-4)
    assert whole[-1] < whole[0]
    tokens_BT = torch.randint(61, (2, 16), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        base, one, other = (
            load_pretrained(place)(tokens_BT)
            for place in (trained / name, trained / f"{name}-whole-2/model", trained / f"{name}-pieces-2/model")
        )
    assert float((one - base).abs().max()) > 1e-3
    assert float((one - other).abs().max()) < 1e-3 * float(one.abs().max())


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_family_in_pieces_resumes_to_the_same_bits(name: str, trained: Path) -> None:
    files = [trained / f"{name}-{way}-2" / "model" / "model.safetensors" for way in ("pieces", "resumed")]
    assert files[0].read_bytes() == files[1].read_bytes()
