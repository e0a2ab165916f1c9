"""LoRA: starts as the same model, trains only adapters, and merges into an ordinary one."""

import pytest
import torch

from model.checkpointing.hf import model_digest
from model.errors import BadCheckpoint, BadConfig
from model.nn.config import preset
from model.nn.llama import Llama
from model.nn.lora import add_lora, has_lora, load_lora_state, lora_state, merge_lora, merged_copy

CONFIG = preset("nano", vocab_size=64, context=32)
INPUTS_BT = torch.randint(0, 64, (2, 16), generator=torch.Generator().manual_seed(0))
TARGETS_BT = torch.randint(0, 64, (2, 16), generator=torch.Generator().manual_seed(1))


def train(model: Llama, steps: int) -> None:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(INPUTS_BT, targets_BT=TARGETS_BT)[0] / TARGETS_BT.numel()).backward()
        optimizer.step()


def test_adapters_start_at_nothing_train_alone_and_merge_into_the_matrices() -> None:
    base = Llama(CONFIG, seed=0)
    model = add_lora(Llama(CONFIG, seed=0), rank=4, seed=1)
    torch.testing.assert_close(model(INPUTS_BT), base(INPUTS_BT), atol=1e-6, rtol=1e-5)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    # per layer: q 128+128, k and v 128+64, o 128+128, gate, up and down 128+256, each times the rank
    assert trained == 4 * 4 * (256 + 192 + 192 + 256 + 3 * 384)
    train(model, 5)
    adapted_BTV = model(INPUTS_BT).detach()
    assert not torch.allclose(adapted_BTV, base(INPUTS_BT), atol=1e-3)
    merged = merged_copy(model)
    assert has_lora(model)
    assert not has_lora(merged)
    assert merged.state_dict().keys() == base.state_dict().keys()
    torch.testing.assert_close(merged(INPUTS_BT), adapted_BTV, atol=1e-5, rtol=1e-4)
    assert torch.equal(merged.model.embed_tokens.weight, base.model.embed_tokens.weight)
    assert all(parameter.requires_grad for parameter in merged.parameters())


def test_the_change_has_the_rank_that_was_asked_for() -> None:
    base, model = Llama(CONFIG, seed=0), add_lora(Llama(CONFIG, seed=0), rank=2, targets=["q_proj"], seed=1)
    train(model, 3)
    merge_lora(model)
    change = model.model.layers[0].self_attn.q_proj.weight - base.model.layers[0].self_attn.q_proj.weight
    assert int(torch.linalg.matrix_rank(change.double(), rtol=1e-4)) == 2
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight, base.model.layers[0].mlp.up_proj.weight)


def test_a_resume_from_base_and_adapters_is_bit_exact() -> None:
    whole = add_lora(Llama(CONFIG, seed=0), rank=4, seed=1)
    train(whole, 2)
    resumed = add_lora(Llama(CONFIG, seed=0), rank=4, seed=99)
    load_lora_state(resumed, lora_state(whole))
    train(whole, 2)
    train(resumed, 2)
    assert model_digest(merge_lora(whole)) == model_digest(merge_lora(resumed))


def test_bad_settings_and_foreign_adapters_are_refused() -> None:
    model = add_lora(Llama(CONFIG, seed=0), rank=4)
    for settings in ({"rank": 0}, {"targets": ["c_attn"]}, {"targets": []}):
        with pytest.raises(BadConfig, match="lora"):
            add_lora(Llama(CONFIG, seed=0), **settings)
    with pytest.raises(BadConfig, match="already"):
        add_lora(model)
    with pytest.raises(BadCheckpoint, match="shape"):
        load_lora_state(model, lora_state(add_lora(Llama(CONFIG, seed=0), rank=2)))
    with pytest.raises(BadCheckpoint, match="one of model and checkpoint"):
        load_lora_state(model, lora_state(add_lora(Llama(CONFIG, seed=0), rank=4, targets=["q_proj"])))
