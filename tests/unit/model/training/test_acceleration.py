"""Number type, recomputation and compilation: what they may change and what not."""

import logging
import os
import subprocess
import sys

import pytest
import torch

from model.errors import BadConfig
from model.training import acceleration
from model.training.acceleration import Acceleration, cpp_compiler
from model.training.job import StageJob
from model.training.loop import train_stage
from tests.unit.model.training_helpers import ListPorts, make_job


def run(job: StageJob) -> ListPorts:
    ports = ListPorts(last=-(-job.total_steps // job.steps_per_boundary))
    train_stage(job, ports)
    return ports


def test_recomputed_activations_give_the_same_bits() -> None:
    kept, recomputed = make_job(), make_job(acceleration=Acceleration(activation_checkpointing=True))
    assert run(kept).losses == run(recomputed).losses
    for ours, theirs in zip(recomputed.model.parameters(), kept.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_bfloat16_learns_alike_keeps_float32_weights_and_repeats_itself() -> None:
    """In a process of its own: some virtual machines announce AMX and kill whoever uses it."""
    script = """
from model.training.acceleration import Acceleration
from tests.unit.model.training.test_acceleration import make_job, run
half, again = (make_job(acceleration=Acceleration(precision="bf16")) for _ in range(2))
full, losses = run(make_job()).losses, run(half).losses
assert losses == run(again).losses
assert losses != full
assert max(abs(a / b - 1) for a, b in zip(losses, full, strict=True)) < 0.01, (losses, full)
assert {str(parameter.dtype) for parameter in half.model.parameters()} == {"torch.float32"}
print("learnt")
"""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "learnt\n", done.stderr


def test_bfloat16_is_refused_where_the_cpu_dies_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "cpu_has_bf16", lambda: False)
    with pytest.raises(BadConfig, match="ONEDNN_MAX_CPU_ISA"):
        run(make_job(acceleration=Acceleration(precision="bf16")))


def test_auto_is_float32_on_a_cpu() -> None:
    with Acceleration().autocast(torch.device("cpu")):
        assert not torch.is_autocast_enabled("cpu")
    with Acceleration(precision="bf16").autocast(torch.device("cpu")):
        assert torch.is_autocast_enabled("cpu")


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(BadConfig, match="fp8"):
        Acceleration(precision="fp8")


def test_without_a_compiler_training_continues_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert cpp_compiler() is None
    with caplog.at_level(logging.WARNING):
        compiled = run(make_job(acceleration=Acceleration(compile=True)))
    assert "C++ compiler" in caplog.text
    assert compiled.losses == run(make_job()).losses


def test_a_traced_stage_has_the_losses_of_an_eager_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of torch.compile but the minute in the C++ compiler."""
    monkeypatch.setattr(acceleration, "BACKEND", "aot_eager")
    monkeypatch.setattr(acceleration, "cpp_compiler", lambda: "c++")
    traced = run(make_job(total_steps=2, acceleration=Acceleration(compile=True)))
    assert traced.losses == pytest.approx(run(make_job(total_steps=2)).losses, rel=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(cpp_compiler() is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_stage_has_the_losses_of_an_eager_one() -> None:
    """Through the C++ compiler."""
    compiled = make_job(total_steps=2, acceleration=Acceleration(compile=True))
    losses = run(compiled).losses
    assert losses == pytest.approx(run(make_job(total_steps=2)).losses, rel=1e-4)
    assert compiled.model.model.layers[0]._compiled_call_impl is not None


def test_pieces_and_penalties_exclude_each_other() -> None:
    with pytest.raises(BadConfig, match="in pieces"):
        make_job(acceleration=Acceleration(sharded=True), penalty=object())
