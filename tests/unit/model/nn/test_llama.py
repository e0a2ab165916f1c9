"""The decoder: initialisation, causality, packed conversations, windows. (Equality with transformers: test_hf.py.)"""

import math

import pytest
import torch

from model.errors import BadConfig
from model.nn.config import RopeScaling, preset
from model.nn.llama import Llama, attention_mask
from model.nn.losses import summed_loss
from model.nn.rope import inverse_frequencies, segment_positions

CONFIG = preset("nano", vocab_size=64, context=64)


def mean_loss(logits_BTV: torch.Tensor, targets_BT: torch.Tensor) -> torch.Tensor:
    sum_nats, tokens = summed_loss(logits_BTV, targets_BT)
    return sum_nats / tokens


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 64, shape, generator=torch.Generator().manual_seed(seed))


def test_a_fresh_model_knows_nothing_yet() -> None:
    model = Llama(preset("small"), seed=0)
    inputs_BT = torch.randint(0, 4096, (2, 64), generator=torch.Generator().manual_seed(1))
    targets_BT = torch.randint(0, 4096, (2, 64), generator=torch.Generator().manual_seed(2))
    loss_nats = mean_loss(model(inputs_BT), targets_BT).item()
    assert loss_nats == pytest.approx(math.log(4096), abs=0.3)  # a little over it: tied weights favour the input token


def test_initialisation_is_that_of_gpt_2() -> None:
    model = Llama(preset("small"), seed=0)
    layer = model.model.layers[3]
    assert float(layer.self_attn.q_proj.weight.std()) == pytest.approx(0.02, rel=0.02)
    for writes_to_the_stream in (layer.self_attn.o_proj, layer.mlp.down_proj):
        assert float(writes_to_the_stream.weight.std()) == pytest.approx(0.02 / math.sqrt(12), rel=0.02)
    assert float(layer.input_layernorm.weight.min()) == float(layer.input_layernorm.weight.max()) == 1.0


def test_a_seed_gives_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    first, second, other = Llama(CONFIG, seed=7), Llama(CONFIG, seed=7), Llama(CONFIG, seed=8)
    assert torch.equal(first.model.embed_tokens.weight, second.model.embed_tokens.weight)
    assert not torch.equal(first.model.embed_tokens.weight, other.model.embed_tokens.weight)
    state = torch.get_rng_state()
    second.initialise(9)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_future_does_not_change_the_past() -> None:
    model = Llama(CONFIG, seed=0)
    first_BT = tokens(1, 32)
    second_BT = first_BT.clone()
    second_BT[0, 20:] = tokens(12, seed=5)
    first_BTV, second_BTV = model(first_BT), model(second_BT)
    torch.testing.assert_close(first_BTV[:, :20], second_BTV[:, :20])
    assert not torch.allclose(first_BTV[:, 20:], second_BTV[:, 20:])


@pytest.mark.parametrize("changes", [{}, {"sliding_window": 6}])
def test_packed_conversations_get_the_logits_they_would_get_alone(changes: dict) -> None:
    model = Llama(preset("nano", vocab_size=64, context=64, **changes), seed=0)
    lengths = [9, 1, 14, 8]
    pieces = [tokens(1, length, seed=length) for length in lengths]
    segments_BT = torch.repeat_interleave(torch.tensor([3, 4, 5, 9]), torch.tensor(lengths)).unsqueeze(0)
    packed_BTV = model(torch.cat(pieces, dim=1), segments_BT=segments_BT)
    alone_BTV = torch.cat([model(piece) for piece in pieces], dim=1)
    torch.testing.assert_close(packed_BTV, alone_BTV, atol=2e-5, rtol=0)
    assert not torch.allclose(model(torch.cat(pieces, dim=1)), alone_BTV, atol=1e-3)


def test_one_segment_is_plain_causal_attention() -> None:
    model = Llama(CONFIG, seed=0)
    inputs_BT = tokens(2, 40)
    torch.testing.assert_close(model(inputs_BT, segments_BT=torch.zeros(2, 40, dtype=torch.int32)), model(inputs_BT))


def test_positions_start_again_in_each_segment() -> None:
    segments_BT = torch.tensor([[5, 5, 5, 6, 7, 7], [1, 2, 2, 2, 2, 3]])
    assert segment_positions(segments_BT).tolist() == [[0, 1, 2, 0, 0, 1], [0, 0, 1, 2, 3, 0]]


def test_a_window_of_three_sees_three_tokens() -> None:
    mask_TS = attention_mask(5, 0, 3, None, torch.device("cpu"))
    assert mask_TS is not None
    assert mask_TS.int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [0, 0, 1, 1, 1],
    ]
    assert attention_mask(3, 0, 3, None, torch.device("cpu")) is None  # the fast path


def test_rope_frequencies_by_hand() -> None:
    plain = inverse_frequencies(preset("nano", rope_theta=10_000.0))  # head size 32
    assert plain[0] == 1.0
    assert float(plain[8]) == pytest.approx(10_000 ** (-16 / 32), rel=1e-6)
    halved = inverse_frequencies(preset("nano", rope_scaling=RopeScaling(kind="linear", factor=2.0)))
    torch.testing.assert_close(halved, plain / 2)
    scaling = RopeScaling(kind="llama3", factor=8.0, original_context=8192)
    scaled = inverse_frequencies(preset("nano", rope_theta=500_000.0, rope_scaling=scaling))
    unscaled = inverse_frequencies(preset("nano", rope_theta=500_000.0))
    assert scaled[0] == unscaled[0]  # a wave of 6 tokens stays
    assert float(scaled[-1]) == pytest.approx(float(unscaled[-1]) / 8, rel=1e-6)  # one of 1.4 million is stretched


def test_activation_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = Llama(CONFIG, seed=0).train()
        model.activation_checkpointing = checkpointing
        mean_loss(model(tokens(2, 32)), tokens(2, 32, seed=1)).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_every_weight_gets_a_gradient_and_a_tied_one_both_of_its_parts() -> None:
    model = Llama(preset("nano", vocab_size=64, context=64, attention_bias=True), seed=0)
    mean_loss(model(tokens(2, 32)), tokens(2, 32, seed=1)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name.endswith("k_proj.bias"), name  # softmax ignores a shift of keys
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_row_longer_than_the_context_is_refused() -> None:
    with pytest.raises(BadConfig, match="65 tokens in a row; expected at most the model's context, 64"):
        Llama(CONFIG, seed=0)(tokens(1, 65))


def test_bfloat16_stays_near_float32() -> None:
    model = Llama(CONFIG, seed=0)
    full_BTV = model(tokens(1, 48))
    # Without oneDNN: on virtual machines that announce AMX but do not allow it, its bfloat16 kernels die of SIGILL.
    with torch.backends.mkldnn.flags(enabled=False):
        half_BTV = model.to(torch.bfloat16)(tokens(1, 48))
    assert half_BTV.dtype == torch.bfloat16
    assert float((half_BTV.float() - full_BTV).abs().max()) < 0.02


@pytest.mark.slow
def test_torch_compile_by_the_caller_gives_the_same_logits() -> None:
    model = Llama(CONFIG, seed=0)
    torch.testing.assert_close(torch.compile(model, backend="eager")(tokens(2, 32)), model(tokens(2, 32)))


def test_with_targets_the_forward_pass_gives_their_loss() -> None:
    model = Llama(CONFIG, seed=0)
    targets_BT = tokens(2, 32, seed=1)
    sum_nats, nats_BT = model(tokens(2, 32), targets_BT=targets_BT)
    torch.testing.assert_close(sum_nats / 64, mean_loss(model(tokens(2, 32)), targets_BT))
    torch.testing.assert_close(nats_BT.sum(), sum_nats.detach())
