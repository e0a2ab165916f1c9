"""Whoever writes, reads or checks a checkpoint shows every few megabytes that it gets on, so that the slowest disk that
is worth training on is never taken for a hang."""

from pathlib import Path

import pytest
import torch

from model.checkpointing import checkpoint
from model.checkpointing.hf import load_pretrained
from model.checkpointing.safetensors_writer import PIECE_BYTES
from model.nn.config import ModelConfig
from model.nn.llama import Llama
from tests.unit.model.training_helpers import a_state

# Half a million parameters in one matrix, so that one tensor alone has many pieces.
CONFIG = ModelConfig(vocab_size=50_000, width=64, layers=1, heads=2, kv_heads=2, ffn_width=64, context=16)
STALL_TIMEOUT_S = 45.0


class Meter:
    """The most bytes that passed between two beats; `size` says how many have passed."""

    def __init__(self, size) -> None:
        self._size, self._last, self.most, self.beats = size, 0, 0, 0

    def beat(self) -> None:
        now = self._size()
        self.most, self._last, self.beats = max(self.most, now - self._last), now, self.beats + 1


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Meter]:
    folder = tmp_path / "checkpoint"
    meter = Meter(lambda: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
    moments = {"embed.exp_avg": torch.ones(50_000, 64), "embed.exp_avg_sq": torch.ones(50_000, 64)}
    checkpoint.write(folder, model=Llama(CONFIG), tokenizer=None, optimizer=moments, state=a_state(), beat=meter.beat)
    return folder, meter


def test_writing(written: tuple[Path, Meter]) -> None:
    folder, meter = written
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size > 8 * PIECE_BYTES
    assert meter.most <= PIECE_BYTES + 20_000  # small files are written between two beats
    assert meter.beats > 2 * size // PIECE_BYTES  # written, and read back to be hashed
    assert PIECE_BYTES / STALL_TIMEOUT_S < 100_000  # bytes a second at which a write still passes for alive


def test_reading(written: tuple[Path, Meter], tmp_path: Path) -> None:
    folder, _ = written
    manifest = checkpoint.verify(folder)
    counts = {"verify": 0, "fetch": 0, "model": 0, "optimizer": 0}

    def beat(name: str):
        def count() -> None:
            counts[name] += 1

        return count

    checkpoint.verify(folder, beat=beat("verify"))

    def download(name: str, path: Path) -> None:
        path.write_bytes((folder / name).read_bytes())

    checkpoint.fetch(download, tmp_path / "fetched", manifest.sha256, beat=beat("fetch"))
    load_pretrained(folder / "model", beat=beat("model"))
    checkpoint.load_optimizer(folder, beat=beat("optimizer"))
    pieces = manifest.size_bytes // PIECE_BYTES
    assert counts["verify"] >= pieces
    assert counts["fetch"] >= pieces
    assert counts["model"] == len({name for name, _ in Llama(CONFIG).named_parameters()})
    assert counts["optimizer"] == 2
