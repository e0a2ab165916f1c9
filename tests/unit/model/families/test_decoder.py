"""Families that transformers computes: in, equal logits, packed or apart, adapters, out; and what is refused.

A few families stand for all in the quick tests; the others are marked slow (`make test-families` runs them all).
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.checkpointing.hf import load_pretrained, model_digest, save_pretrained, weights_digest
from model.checkpointing.hf_files import parameter_count
from model.cli.families import try_family
from model.errors import BadCheckpoint, NonFinite, RetainModelError, UnsupportedArchitecture
from model.evaluation.generate import generate_ids
from model.families.config import from_hf
from model.families.decoder import FamilyModel
from model.families.names import FAMILIES
from model.families.reference import write_reference
from model.families.tiny import tiny_config
from services.orchestrator.domain.spec.families.sizes import APART

QUICK = ("falcon", "gemma3_text", "gpt2", "mixtral", "qwen3")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]
)
def test_a_family_goes_in_and_out_with_equal_logits(name: str, tmp_path: Path) -> None:
    found = try_family(name, tmp_path)
    assert found.passed, found
    assert found.packs == (name not in APART)


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen3")
    write_reference(from_hf(tiny_config("qwen3")), folder)
    return folder


def copied(folder: Path, to: Path, **changes: torch.Tensor | None) -> Path:
    """A copy of a model folder with other tensors."""
    to.mkdir(exist_ok=True)
    (to / "config.json").write_bytes((folder / "config.json").read_bytes())
    tensors = load_file(folder / "model.safetensors") | changes
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, to / "model.safetensors")
    return to


UP = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({UP: None}, BadCheckpoint, "up_proj.*1 missing"),
        ({"model.layers.1.mlp.evil.weight": torch.zeros(2, 2)}, BadCheckpoint, "evil.*1 unexpected"),
        ({UP: torch.zeros(7, 32)}, BadCheckpoint, "up_proj"),
        ({UP: torch.full((48, 32), float("nan"))}, NonFinite, "up_proj"),
        ({UP: torch.full((48, 32), float("inf"))}, NonFinite, "up_proj"),
        ({UP: torch.zeros(48, 32, dtype=torch.int32)}, BadCheckpoint, "int32"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    qwen3: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        load_pretrained(copied(qwen3, tmp_path, **changes))


def test_a_broken_file_and_a_pickle_are_refused(qwen3: Path, tmp_path: Path) -> None:
    folder = copied(qwen3, tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    for broken in (whole[:-1], whole + b"\0", b"\xff" * 7 + whole[7:], whole[:8] + whole[9:]):
        (folder / "model.safetensors").write_bytes(broken)
        with pytest.raises(BadCheckpoint, match=r"model\.safetensors"):
            load_pretrained(folder)
    (folder / "model.safetensors").write_bytes(whole)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(BadCheckpoint, match="pickle"):
        load_pretrained(folder)


def test_more_layers_than_tensors_are_refused_before_they_are_made(qwen3: Path, tmp_path: Path) -> None:
    folder = copied(qwen3, tmp_path)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"num_hidden_layers": 2', '"num_hidden_layers": 9999'))
    with pytest.raises(BadCheckpoint, match="9999 layers"):
        load_pretrained(folder)


def test_sizes_that_contradict_each_other_are_refused_by_name(qwen3: Path, tmp_path: Path) -> None:
    folder = copied(qwen3, tmp_path)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"num_attention_heads": 4', '"num_attention_heads": 3'))
    with pytest.raises(BadCheckpoint, match=r"o_proj.*mismatched"):
        load_pretrained(folder)


def test_logits_that_are_more_than_a_product_are_refused_by_name(tmp_path: Path) -> None:
    """Gemma's soft cap on logits cannot be put into what the output matrix sees."""
    config = from_hf(tiny_config("gemma3_text") | {"final_logit_softcapping": 1.0})
    write_reference(config, tmp_path)
    with pytest.raises(UnsupportedArchitecture, match="gemma3_text whose logits are more than a product"):
        load_pretrained(tmp_path)


def test_an_untied_head_of_a_tied_model_is_refused(tmp_path: Path) -> None:
    write_reference(from_hf(tiny_config("gemma3_text")), tmp_path)
    folder = copied(tmp_path, tmp_path / "other", **{"lm_head.weight": torch.ones(64, 32)})
    with pytest.raises(BadCheckpoint):
        load_pretrained(folder)


def test_a_folder_and_the_model_of_it_have_one_digest(qwen3: Path, tmp_path: Path) -> None:
    model = load_pretrained(qwen3)
    save_pretrained(model, tmp_path)
    assert model_digest(model) == weights_digest(tmp_path) == weights_digest(qwen3)
    assert parameter_count(tmp_path, model.config) == model.num_parameters()


def test_greedy_text_is_the_same_with_and_without_a_cache(qwen3: Path) -> None:
    model = load_pretrained(qwen3).eval()
    ids = [3, 1, 4, 1, 5]
    found = list(generate_ids(model, ids, max_new_tokens=8, temperature=0))
    with torch.no_grad():
        for expected in found:
            assert int(model(torch.tensor([ids]))[0, -1].argmax()) == expected
            ids.append(expected)


def test_more_tokens_than_the_context_are_refused(qwen3: Path) -> None:
    model = load_pretrained(qwen3)
    with pytest.raises(RetainModelError, match="65 tokens in a row; expected at most the model's context, 64"):
        model(torch.zeros(1, 65, dtype=torch.int64))


def test_recomputing_layers_gives_the_same_gradient(qwen3: Path) -> None:
    tokens_BT = torch.arange(32).view(2, 16)
    gradients = []
    for wanted in (False, True):
        model = load_pretrained(qwen3).train()
        assert isinstance(model, FamilyModel)
        model.activation_checkpointing = wanted
        model(tokens_BT[:, :-1], targets_BT=tokens_BT[:, 1:])[0].backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


@pytest.mark.parametrize("name", ["phi", "granite", "gpt2"])
def test_the_gradient_is_that_of_the_plain_loss(name: str, tmp_path: Path) -> None:
    """Also through a bias of the output (Phi), a factor on the logits (Granite) and a tied matrix (GPT-2)."""
    write_reference(from_hf(tiny_config(name)), tmp_path)
    model = load_pretrained(tmp_path)
    tokens_BT = torch.arange(32).view(2, 16)
    total, nats_BT = model(tokens_BT[:, :-1], targets_BT=tokens_BT[:, 1:])
    total.backward()
    ours = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    logits = model.inner(input_ids=tokens_BT[:, :-1], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens_BT[:, 1:].flatten(), reduction="sum")
    loss.backward()
    assert total.item() == pytest.approx(loss.item(), rel=1e-5)
    assert float(nats_BT.sum()) == pytest.approx(loss.item(), rel=1e-5)
    for weight_name, weight in model.named_parameters():
        torch.testing.assert_close(ours[weight_name], weight.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["qwen3", "falcon"])
def test_conversations_of_different_lengths_do_not_see_each_other(name: str, tmp_path: Path) -> None:
    """Three in one row and two in the other, against each alone; and falcon, packed all the same, would leak."""
    write_reference(from_hf(tiny_config(name)), tmp_path)
    model = load_pretrained(tmp_path).eval()
    assert isinstance(model, FamilyModel)
    tokens_BT = torch.randint(64, (2, 20), generator=torch.Generator().manual_seed(3))
    lengths = ((3, 1, 16), (12, 8))
    segments_BT = torch.stack([torch.arange(len(row)).repeat_interleave(torch.tensor(row)) for row in lengths])

    def largest_difference() -> float:
        with torch.no_grad():
            found_BTV = model(tokens_BT, segments_BT=segments_BT)
            alone = [model(part.unsqueeze(0))[0] for row, sizes in zip(tokens_BT, lengths, strict=True)
                     for part in row.split(sizes)]  # fmt: skip
        return float((found_BTV.flatten(0, 1) - torch.cat(alone)).abs().max())

    assert largest_difference() < 1e-5
    model.packs = True
    assert (largest_difference() < 1e-5) == (name == "qwen3")
