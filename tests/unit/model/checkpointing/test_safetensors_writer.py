"""Our writer of safetensors against the library's: the same bytes; and it shows that it gets on."""

import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save_file as library_save_file

from model.checkpointing.safetensors_writer import PIECE_BYTES, save_file

TENSORS = {
    "b.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "a.weight": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
    "a.step": torch.tensor(3.5),
    "ids": torch.arange(5),
    "half": torch.ones(3, dtype=torch.float16),
    "mask": torch.tensor([True, False]),
    "ä": torch.zeros(0, 4),
}


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_it_writes_what_the_library_writes(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "ours", metadata=metadata)
    library_save_file(TENSORS, tmp_path / "theirs", metadata=metadata)
    back = load_file(tmp_path / "ours")
    assert back.keys() == TENSORS.keys()
    assert all(torch.equal(back[name], tensor) and back[name].dtype == tensor.dtype for name, tensor in TENSORS.items())
    one_dtype = {name: tensor for name, tensor in TENSORS.items() if tensor.dtype == torch.float32}
    save_file(one_dtype, tmp_path / "ours", metadata=metadata)
    library_save_file(one_dtype, tmp_path / "theirs", metadata=metadata)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_it_beats_for_every_few_megabytes(tmp_path: Path) -> None:
    beats: list[None] = []
    save_file({"w": torch.zeros(10 * PIECE_BYTES // 4)}, tmp_path / "file", beat=lambda: beats.append(None))
    assert len(beats) == 11  # the header, and ten pieces


def test_a_full_disk_is_the_systems_own_error_with_the_path() -> None:
    """/dev/full is a disk that is always full."""
    with pytest.raises(OSError, match="No space left on device") as full:
        save_file(TENSORS, Path("/dev/full"))
    assert (full.value.errno, full.value.filename) == (errno.ENOSPC, "/dev/full")
