"""What makes a stage faster or smaller without changing what it minimises: number type, compilation, recomputation.

bf16: products and activations in bfloat16 (8 bits of precision, the range of float32), weights, losses and AdamW in
float32 (Micikevicius et al. 2018, arXiv:1710.03740; Kalamkar et al. 2019, arXiv:1905.12322). It pays where the machine
multiplies bfloat16 in hardware: GPUs, and CPUs with AMX or AVX512-BF16. Results differ in the third digit.

compile: torch.compile fuses what lies between the products. It takes a minute at first and needs a C++ compiler on a
CPU; where there is none, training continues without and says so once.

activation_checkpointing: only each layer's input is kept, the rest computed again in the backward pass (Chen et al.
2016, arXiv:1604.06174): the same gradients, about a third more time, for a fraction of the memory.
"""

import functools
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import torch

from model.errors import BadConfig
from model.nn.causal_lm import CausalLM

PRECISIONS = ("auto", "fp32", "bf16")
COMPILERS = ("g++", "clang++", "c++")
BACKEND = "inductor"  # torch.compile's own default

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Acceleration:
    """How a stage computes. precision "auto": bf16 on a GPU, fp32 on a CPU; sharded: FSDP2 (see `data_parallel`)."""

    precision: str = "auto"
    compile: bool = False
    activation_checkpointing: bool = False
    sharded: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise BadConfig("precision", self.precision, PRECISIONS)

    def autocast(self, device: torch.device) -> torch.autocast:
        """The context of a forward pass."""
        bf16 = self.precision == "bf16" or (self.precision == "auto" and device.type == "cuda")
        return torch.autocast(device.type, torch.bfloat16, enabled=bf16)

    def apply(self, model: CausalLM) -> CausalLM:
        """Prepare the model, in place; names and values of its weights stay. Returns it.

        Raises BadConfig for bf16 on a CPU that cannot run it."""
        model.activation_checkpointing = self.activation_checkpointing
        device = next(model.parameters()).device
        if self.precision == "bf16" and device.type == "cpu" and not cpu_has_bf16():
            hint = "a machine whose CPU runs it (try ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 in the environment), or fp32"
            raise BadConfig("precision", "bf16 on a CPU that dies of it", hint)
        if self.compile:
            if device.type == "cpu" and cpp_compiler() is None:
                log.warning("torch.compile needs a C++ compiler (%s, or CXX): training without", ", ".join(COMPILERS))
            else:
                for layer in model.sharded_layers:
                    layer.compile(backend=BACKEND)
        return model


PROBE = """
import torch
x, w = torch.randn(64, 16, requires_grad=True), torch.randn(16, 16, requires_grad=True)
with torch.autocast("cpu", torch.bfloat16):
    torch.nn.functional.linear(x, w).float().sum().backward()
"""


@functools.cache
def cpu_has_bf16() -> bool:
    """Whether this machine survives a product in bfloat16, tried in a process of its own.

    A virtual machine may announce AMX and then refuse it: the process dies of an illegal instruction, without an
    exception that could be caught."""
    return subprocess.run([sys.executable, "-c", PROBE], capture_output=True, check=False).returncode == 0


def cpp_compiler() -> str | None:
    """Path of the C++ compiler that torch.compile would find, or None."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else COMPILERS
    return next((path for name in names if (path := shutil.which(name)) is not None), None)
