"""Memory of a stage: activations against what autograd saves on real models, the rest worked by hand."""

from dataclasses import replace

import pytest
import torch

from model.nn.config import ModelConfig
from model.nn.llama import Llama
from model.nn.lora import add_lora
from model.nn.losses import CHUNK_TOKENS as CHUNK_OF_THE_LOSS
from model.training.loop import LOGITS_BYTES as LOGITS_OF_THE_LOOP
from services.orchestrator.domain.spec.model_size import Sizes
from services.orchestrator.domain.spec.needs.memory import CHUNK_TOKENS, activation_bytes, memory_of
from services.orchestrator.domain.spec.needs.shape import LOGITS_BYTES, Shape, adapter_parameters
from services.orchestrator.domain.spec.needs.work import forward_flops, training_flops

# No two widths are equal, so that a term that stands for another one is found.
SIZES = Sizes(layers=3, width=96, heads=4, kv_heads=2, ffn_width=208, vocabulary=700, head_width=20)
SHAPE = Shape(sizes=SIZES, rows=2, context=64)


def saved_bytes(shape: Shape) -> int:
    """What the forward pass of a real model of this shape keeps for its backward pass, weights left out."""
    sizes = shape.sizes
    config = ModelConfig(
        vocab_size=sizes.vocabulary,
        context=shape.context,
        width=sizes.width,
        layers=sizes.layers,
        heads=sizes.heads,
        kv_heads=sizes.kv_heads,
        ffn_width=sizes.ffn_width,
        head_dim=sizes.head_width,
        tied_embeddings=sizes.tied,
    )
    model = Llama(config, seed=0).train()
    assert model.config.parameter_count() == sizes.parameters
    if shape.adapters:
        add_lora(model, rank=shape.adapters)
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == shape.trained
    model.activation_checkpointing = shape.checkpointing
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no other storage takes its place
        return tensor

    tokens = torch.randint(0, sizes.vocabulary, (shape.rows, shape.context))
    segments = torch.zeros_like(tokens, dtype=torch.int32) if shape.packed else None
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=shape.bf16):
        model(tokens, segments_BT=segments, targets_BT=tokens)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rows": 5},
        {"context": 160},
        {"packed": True},
        {"adapters": 4, "sizes": replace(SIZES, layers=8)},  # the first layer, behind nothing that trains, keeps less
        {"compiled": True},
        {"sizes": replace(SIZES, tied=False)},
        {"sizes": replace(SIZES, layers=7, ffn_width=96)},
    ],
)
def test_activations_are_what_autograd_saves(changes, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = replace(SHAPE, **changes)
    if shape.compiled:  # compiled layers are those of plain modules; here the same modules without the compiler
        monkeypatch.setattr("model.nn.cpu_kernels.usable", lambda *_: False)
    assert activation_bytes(shape) == pytest.approx(saved_bytes(shape), rel=0.02)


def test_activations_in_bf16_are_what_autograd_saves() -> None:
    shape = replace(SHAPE, bf16=True, rows=4)
    assert activation_bytes(shape) == pytest.approx(saved_bytes(shape), rel=0.05)


def test_checkpointing_keeps_inputs_and_one_layer_at_a_time() -> None:
    """What stands after the forward pass is the inputs; the backward pass brings one whole layer back."""
    shape = replace(SHAPE, checkpointing=True)
    one = activation_bytes(replace(SHAPE, sizes=replace(SIZES, layers=2))) - activation_bytes(
        replace(SHAPE, sizes=replace(SIZES, layers=1))
    )
    assert activation_bytes(shape) - one == pytest.approx(saved_bytes(shape), rel=0.02)


def test_a_stage_on_a_cpu_by_hand() -> None:
    """P parameters: 16 P stay, and 12 P are copied at a boundary while no activations exist."""
    parameters = 700 * 96 + 3 * (2 * 96 * 20 * 6 + 3 * 96 * 208 + 2 * 96) + 96
    found = memory_of(SHAPE, runtime_bytes=1000)
    assert (found.weights_bytes, found.gradients_bytes, found.moments_bytes) == (
        4 * parameters,
        4 * parameters,
        8 * parameters,
    )
    assert found.copies_bytes == 12 * parameters
    few = memory_of(replace(SHAPE, rows=1, context=2), runtime_bytes=1000)  # copies are the larger part
    assert few.total_bytes == 28 * parameters + 1000 + int(0.4 * few.activations_bytes)
    many = memory_of(replace(SHAPE, rows=500), runtime_bytes=1000)  # activations are
    assert many.total_bytes == 16 * parameters + 1000 + many.activations_bytes + int(0.1 * many.activations_bytes)
    lag = memory_of(replace(SHAPE, overlapping=True), runtime_bytes=1000)  # both at one time
    assert lag.total_bytes == 28 * parameters + 1000 + lag.activations_bytes + int(0.1 * lag.activations_bytes)


def test_what_is_held_and_what_is_frozen() -> None:
    parameters = SIZES.parameters
    teacher = memory_of(replace(SHAPE, held=1, asked=True))
    assert teacher.parent_bytes == 4 * parameters
    assert teacher.activations_bytes > memory_of(SHAPE).activations_bytes
    adapters = adapter_parameters(SIZES, 4)
    assert adapters == 4 * 3 * (2 * (96 + 80) + 2 * (96 + 40) + 3 * (96 + 208))
    lora = memory_of(replace(SHAPE, adapters=4))
    assert (lora.weights_bytes, lora.gradients_bytes) == (4 * parameters, 4 * adapters)
    assert lora.copies_bytes == 4 * parameters + 12 * adapters


def test_gpus_share_the_weights_and_leave_the_copies_to_main_memory() -> None:
    gpu = replace(SHAPE, gpu=True, bf16=True)
    alone, four = memory_of(gpu), memory_of(replace(gpu, workers=4))
    assert four.moments_bytes == alone.moments_bytes // 4
    whole = 4 * max(SIZES.of_layer, SIZES.embeddings)
    assert four.weights_bytes == alone.weights_bytes // 4 + whole
    assert alone.host_bytes - alone.copies_bytes == memory_of(SHAPE).runtime_bytes
    assert alone.total_bytes == sum(
        (
            alone.weights_bytes,
            alone.gradients_bytes,
            alone.moments_bytes,
            alone.activations_bytes,
            alone.runtime_bytes,
        )
    )
    held = memory_of(replace(gpu, workers=4, held=1, asked=True))
    assert held.weights_bytes == alone.weights_bytes, "a stage that asks its parent is not in pieces"


def test_the_bounds_are_those_of_the_torch_core() -> None:
    assert (CHUNK_TOKENS, LOGITS_BYTES) == (CHUNK_OF_THE_LOSS, LOGITS_OF_THE_LOOP)


def test_operations_by_hand() -> None:
    """2 for each weight of a product, and 2 L T Q of attention; three passes to train, four with checkpointing."""
    products = 3 * (2 * 96 * 20 * 6 + 3 * 96 * 208 + 2 * 96) + 700 * 96
    forward = 2 * products + 2 * 3 * 64 * 80
    assert forward_flops(SHAPE) == forward
    assert training_flops(SHAPE, 1000, replayed=0.25) == 3 * forward * 1000
    assert training_flops(replace(SHAPE, checkpointing=True), 1000, replayed=0.25) == 4 * forward * 1000
    assert training_flops(replace(SHAPE, adapters=4), 1000, replayed=0.25) == 2 * forward * 1000
    assert training_flops(replace(SHAPE, held=1, asked=True), 1000, replayed=0.25) == 3.25 * forward * 1000
