"""The parent as a teacher of replayed rows: who is asked, and that it is heard."""

from dataclasses import replace

import pytest
import torch

from model.errors import BadConfig
from model.nn.llama import Llama
from model.training.acceleration import Acceleration
from model.training.distillation import Distillation
from model.training.loop import train_stage
from tests.unit.model.training_helpers import CONFIG, ListPorts, SyntheticStream, fresh_model, make_job


def test_only_replayed_rows_are_asked() -> None:
    parent = fresh_model(1)
    inputs_BT = torch.randint(0, CONFIG.vocab_size, (4, CONFIG.context))
    soft = Distillation(parent, strength=0.5).soft_targets(inputs_BT, None, ["", "general", "", "math"])
    assert soft is not None
    assert soft.counts_BT is None
    assert soft.strengths_BT[:, 0].tolist() == [0.0, 0.5, 0.0, 0.5]
    logits_BTV = soft.hidden_BTE @ soft.weight_VE.T
    torch.testing.assert_close(logits_BTV[[1, 3]], parent(inputs_BT[[1, 3]]).detach())
    assert not soft.hidden_BTE[[0, 2]].any()
    assert Distillation(parent, strength=0.5).soft_targets(inputs_BT, None, [""] * 4) is None


def test_only_the_tokens_of_sources_that_are_named_alone_count_for_nothing() -> None:
    inputs_BT = torch.randint(0, CONFIG.vocab_size, (3, CONFIG.context))
    teacher = Distillation(fresh_model(1), strength=4.0, alone=("general",))
    soft = teacher.soft_targets(inputs_BT, None, ["", "general", "math"])
    assert soft is not None
    assert soft.counts_BT is not None
    assert soft.counts_BT.unique(dim=1).tolist() == [[1.0], [0.0], [1.0]]
    assert soft.strengths_BT.unique(dim=1).tolist() == [[0.0], [4.0], [4.0]]


def test_alone_the_parent_asks_nothing_of_a_model_that_says_the_same() -> None:
    """Rows that replay its own text have no loss and no gradient then; the tokens that came would have both."""
    tokens_BT = torch.randint(0, CONFIG.vocab_size, (2, CONFIG.context + 1))
    inputs_BT, targets_BT = tokens_BT[:, :-1], tokens_BT[:, 1:]
    norms = []
    for alone in (("general",), ()):
        model, teacher = fresh_model(), Distillation(fresh_model(), strength=3.0, alone=alone)
        soft = teacher.soft_targets(inputs_BT, None, ["general", "general"])
        total, nats_BT = model(inputs_BT, targets_BT=targets_BT, soft=soft)
        total.backward()
        norms.append(max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None))
        assert total.item() == pytest.approx(0.0 if alone else nats_BT.sum().item(), abs=1e-3)
        assert nats_BT.sum().item() > 1.0
    assert norms[0] < 1e-4 < 1e-1 < norms[1]


def test_conversations_of_a_row_are_told_apart() -> None:
    parent = fresh_model(1)
    inputs_BT = torch.randint(0, CONFIG.vocab_size, (1, CONFIG.context))
    segments_BT = torch.tensor([[0] * 5 + [1] * (CONFIG.context - 5)])
    soft = Distillation(parent, strength=1.0).soft_targets(inputs_BT, segments_BT, ["general"])
    assert soft is not None
    alone = parent(inputs_BT[:, 5:]).detach()
    torch.testing.assert_close((soft.hidden_BTE @ soft.weight_VE.T)[:, 5:], alone)


def test_the_model_stays_nearer_to_what_the_parent_says() -> None:
    """The parent knows nothing: replayed text teaches the counting down, the parent's word on it holds that back."""
    parent = fresh_model()
    replay = SyntheticStream(seed=7, rows=16)
    replay.set_shares({"general": 1.0})
    inputs_BT = replay.next_batch().inputs_RT
    divergences = []
    for strength in (None, 0.3, 10.0):
        job = make_job(
            total_steps=40,
            steps_per_boundary=40,
            model=fresh_model(),
            teacher=None if strength is None else Distillation(fresh_model(), strength=strength),
        )
        train_stage(job, ListPorts(last=1))
        with torch.no_grad():
            log_p, log_q = (m(inputs_BT).log_softmax(-1) for m in (job.model, parent))
        divergences.append(float(torch.nn.functional.kl_div(log_p, log_q, log_target=True, reduction="sum")))
    assert divergences[0] > divergences[1] > divergences[2]


@pytest.mark.parametrize("strength", [0.0, -1.0, float("nan"), float("inf")])
def test_a_strength_that_is_no_strength_is_refused(strength: float) -> None:
    with pytest.raises(BadConfig, match=r"penalty\.distill"):
        Distillation(fresh_model(), strength=strength)


def test_a_parent_of_another_vocabulary_is_refused() -> None:
    other = Llama(replace(CONFIG, vocab_size=67), seed=0)
    with pytest.raises(BadConfig, match="a vocabulary of 61; expected the parent's, 67"):
        make_job(teacher=Distillation(other, strength=1.0))


def test_pieces_of_weights_and_a_teacher_exclude_each_other() -> None:
    with pytest.raises(BadConfig, match="not sharded"):
        make_job(acceleration=Acceleration(sharded=True), teacher=Distillation(fresh_model(), strength=1.0))
