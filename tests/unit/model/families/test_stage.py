"""A stage of another family through the training loop: it learns, a killed one ends with the same bits, its checkpoint
is measured by the evaluator's own loader under the digest of its manifest."""

from pathlib import Path

import pytest
import torch

from model.checkpointing import checkpoint
from model.checkpointing.hf import load_pretrained, model_digest
from model.data.eval_set import EvalSet
from model.document import Document
from model.evaluation.perplexity import evaluate_set
from model.families.config import from_hf
from model.families.reference import reference_logits, write_reference
from model.families.tiny import tiny_config
from model.nn.causal_lm import CausalLM
from model.nn.lora import add_lora, has_lora
from model.tokenization.tokenizer import Tokenizer
from model.training.loop import train_stage
from services.evaluator.adapters.measuring.weights import load as load_weights
from tests.unit.model.training_helpers import ListPorts, make_job, resumed, write_snapshot


def tiny(name: str, folder: Path) -> CausalLM:
    write_reference(from_hf(tiny_config(name)), folder)
    return load_pretrained(folder)


@pytest.mark.parametrize("name", ["qwen3", "gemma3_text"])
def test_a_stage_learns_and_its_checkpoint_is_measured(name: str, tmp_path: Path) -> None:
    job = make_job(model=tiny(name, tmp_path / "base"), total_steps=12, steps_per_boundary=6)
    ports = ListPorts(last=2)
    train_stage(job, ports)
    assert ports.losses[-1] < ports.losses[0] - 0.2
    written = write_snapshot(ports.snapshots[2], tmp_path / "stored")
    loaded = load_weights(written / checkpoint.MODEL_FOLDER, torch.device("cpu"))
    assert loaded.digest == model_digest(job.model) == checkpoint.verify(written).weights_digest
    tokens_BT = torch.arange(20).view(2, 10)
    with torch.no_grad():
        ours_BTV = loaded.model(tokens_BT)
    torch.testing.assert_close(reference_logits(written / checkpoint.MODEL_FOLDER, tokens_BT), ours_BTV)


def test_a_resumed_stage_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = make_job(model=tiny("qwen3", tmp_path / "base"), total_steps=8)
    ports = ListPorts(last=2)
    train_stage(whole, ports)
    again = resumed(write_snapshot(ports.snapshots[1], tmp_path / "stored"), total_steps=8)
    train_stage(again, ListPorts(last=2))
    assert model_digest(again.model) == model_digest(whole.model)


def test_adapters_of_a_stage_are_merged_into_its_checkpoint(tmp_path: Path) -> None:
    model = tiny("gpt2", tmp_path / "base")
    before = model_digest(model)
    job = make_job(model=add_lora(model, rank=2, alpha=4), total_steps=4)
    ports = ListPorts(last=1)
    train_stage(job, ports)
    stored = ports.snapshots[1].model
    assert not has_lora(stored)
    assert model_digest(stored) != before


def test_an_untouched_model_of_a_family_has_forgotten_exactly_nothing(tmp_path: Path, shared_data: Path) -> None:
    tokenizer = Tokenizer.load(shared_data / "models" / "stories260K-hf")
    write_reference(from_hf(tiny_config("qwen3") | {"vocab_size": 512}), tmp_path)
    documents = [Document(text=f"Once upon a time there were {n} mice.", origin=str(n)) for n in range(8)]
    eval_set = EvalSet.build("mice", documents, tokenizer, 32)
    one, other = (evaluate_set(load_pretrained(tmp_path), eval_set).loss_nats for _ in range(2))
    assert one == other
