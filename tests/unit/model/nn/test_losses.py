"""Losses by hand: sums of nats, counts of targets, and no batch without one."""

import math

import pytest
import torch

from model.errors import EmptyBatch
from model.nn.losses import NO_LOSS, SoftTargets, fused_token_nats, summed_loss, token_nats


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    return torch.tensor([probabilities]).log()


def test_nats_are_minus_the_log_of_the_probability() -> None:
    logits_BTV = logits_of([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    nats_BT = token_nats(logits_BTV, torch.tensor([[0, 1, NO_LOSS]]))
    torch.testing.assert_close(nats_BT, torch.tensor([[math.log(2), -math.log(0.8), 0.0]]))


def test_sums_and_counts_are_of_targets_only() -> None:
    logits_BTV = logits_of([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    sum_nats, tokens = summed_loss(logits_BTV, torch.tensor([[NO_LOSS, 2, 0]]))
    assert tokens == 2
    assert sum_nats.item() == pytest.approx(math.log(10) + math.log(5), rel=1e-6)


def test_gradients_of_two_parts_add_up_to_those_of_the_whole() -> None:
    torch.manual_seed(0)
    logits_BTV = torch.randn(4, 5, 7)
    targets_BT = torch.randint(0, 7, (4, 5))
    targets_BT[0, :4] = NO_LOSS  # the parts hold different numbers of targets
    whole = logits_BTV.clone().requires_grad_()
    sum_nats, of_all = summed_loss(whole, targets_BT)
    (sum_nats / of_all).backward()
    parts = logits_BTV.clone().requires_grad_()
    tokens = int((targets_BT != NO_LOSS).sum())
    for rows in (slice(0, 1), slice(1, 4)):
        (summed_loss(parts[rows], targets_BT[rows])[0] / tokens).backward()
    torch.testing.assert_close(parts.grad, whole.grad)


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits_BTV = torch.zeros(1, 2048, 4096, dtype=torch.bfloat16)
    sum_nats, tokens = summed_loss(logits_BTV, torch.zeros(1, 2048, dtype=torch.long))
    assert sum_nats.item() / tokens == pytest.approx(math.log(4096), rel=1e-5)


def test_a_batch_without_targets_is_refused() -> None:
    with pytest.raises(EmptyBatch, match="at least one target token"):
        summed_loss(torch.zeros(1, 3, 4), torch.full((1, 3), NO_LOSS))


@pytest.mark.parametrize("tokens", [3, 600])  # within one chunk; over several, the last one short
def test_the_fused_loss_and_its_gradients_are_those_of_cross_entropy(tokens: int) -> None:
    torch.manual_seed(0)
    hidden_BTE, weight_VE = torch.randn(2, tokens, 8), torch.randn(50, 8)
    targets_BT = torch.randint(0, 50, (2, tokens))
    targets_BT[1, : tokens // 2] = NO_LOSS
    gradients, nats = [], []
    for fused in (False, True):
        hidden, weight = hidden_BTE.clone().requires_grad_(), weight_VE.clone().requires_grad_()
        if fused:
            sum_nats, nats_BT = fused_token_nats(hidden, weight, targets_BT)
            assert not nats_BT.requires_grad
        else:
            nats_BT = token_nats(hidden @ weight.T, targets_BT)
            sum_nats = nats_BT.sum()
        (sum_nats / 7).backward()
        gradients.append((hidden.grad, weight.grad))
        nats.append(nats_BT.detach())
    torch.testing.assert_close(nats[1], nats[0])
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4, rtol=1e-4)


def test_the_fused_loss_survives_logits_that_would_overflow() -> None:
    sum_nats, _ = fused_token_nats(torch.tensor([[[100.0]]]), torch.tensor([[100.0], [-100.0]]), torch.tensor([[1]]))
    assert sum_nats.item() == pytest.approx(20_000.0)


@pytest.mark.parametrize("counted", [None, 0.0, 0.25])
@pytest.mark.parametrize("tokens", [3, 600])
def test_soft_targets_add_the_divergence_from_the_teacher(tokens: int, counted: float | None) -> None:
    """Against torch's own kl_div, with a teacher of another width, some tokens without it, some without loss, and some
    whose own nats count for less."""
    torch.manual_seed(0)
    hidden_BTE, weight_VE = torch.randn(2, tokens, 8), torch.randn(50, 8)
    said_BTE, words_VE = torch.randn(2, tokens, 6), torch.randn(50, 6)
    targets_BT = torch.randint(0, 50, (2, tokens))
    targets_BT[1, : tokens // 2] = NO_LOSS
    strengths_BT = torch.zeros(2, tokens)
    strengths_BT[1] = 0.7
    counts_BT = torch.ones(2, tokens)
    if counted is not None:
        counts_BT[1], counts_BT[0, 0] = counted, 0.5
    soft = SoftTargets(
        hidden_BTE=said_BTE,
        weight_VE=words_VE,
        strengths_BT=strengths_BT,
        counts_BT=None if counted is None else counts_BT,
    )
    results = []
    for fused in (False, True):
        hidden, weight = hidden_BTE.clone().requires_grad_(), weight_VE.clone().requires_grad_()
        if fused:
            total, nats_BT = fused_token_nats(hidden, weight, targets_BT, soft)
        else:
            nats_BT = token_nats(hidden @ weight.T, targets_BT)
            log_q, log_p = ((h @ w.T).log_softmax(-1) for h, w in ((said_BTE, words_VE), (hidden, weight)))
            kl_BT = torch.nn.functional.kl_div(log_p, log_q, log_target=True, reduction="none").sum(-1)
            total = (nats_BT * counts_BT).sum() + (kl_BT * strengths_BT * (targets_BT != NO_LOSS)).sum()
        (total / 7).backward()
        results.append((total.detach(), nats_BT.detach(), hidden.grad, weight.grad))
    torch.testing.assert_close(results[1], results[0], atol=1e-4, rtol=1e-4)


def test_the_teachers_word_alone_is_what_its_own_draws_come_to_on_average() -> None:
    """The gradient of the nats of every token, each as often as the teacher says it, is that of the divergence."""
    torch.manual_seed(0)
    hidden_BTE, weight_VE = torch.randn(1, 1, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    said_BTE, words_VE = torch.randn(1, 1, 3), torch.randn(6, 3)
    of_teacher_V = (said_BTE @ words_VE.T).softmax(-1).flatten()
    drawn = sum(
        q * torch.autograd.grad(fused_token_nats(hidden_BTE, weight_VE, torch.tensor([[token]]))[0], weight_VE)[0]
        for token, q in enumerate(of_teacher_V)
    )
    one, none = torch.ones(1, 1), torch.zeros(1, 1)
    soft = SoftTargets(hidden_BTE=said_BTE, weight_VE=words_VE, strengths_BT=one, counts_BT=none)
    total, nats_BT = fused_token_nats(hidden_BTE, weight_VE, torch.tensor([[2]]), soft)
    torch.testing.assert_close(torch.autograd.grad(total, weight_VE)[0], drawn)
    log_p_V = (hidden_BTE @ weight_VE.T).log_softmax(-1).flatten()
    torch.testing.assert_close(total, (of_teacher_V * (of_teacher_V.log() - log_p_V)).sum())
    torch.testing.assert_close(nats_BT, -log_p_V[2].reshape(1, 1))


def test_a_teacher_who_is_not_asked_changes_no_bit() -> None:
    torch.manual_seed(0)
    hidden_BTE, weight_VE = torch.randn(2, 5, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    targets_BT = torch.randint(0, 50, (2, 5))
    said_BTE, words_VE, none_BT = torch.randn(2, 5, 8), torch.randn(50, 8), torch.zeros(2, 5)
    soft, counted = (
        SoftTargets(hidden_BTE=said_BTE, weight_VE=words_VE, strengths_BT=none_BT, counts_BT=counts_BT)
        for counts_BT in (None, torch.ones(2, 5))
    )
    results = [fused_token_nats(hidden_BTE, weight_VE, targets_BT, teacher)[0] for teacher in (None, soft, counted)]
    gradients = [torch.autograd.grad(total, (hidden_BTE, weight_VE)) for total in results]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*gradients, strict=True))
