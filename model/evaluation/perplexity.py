"""Perplexity of a model on frozen sets: sum nats, sum tokens, divide once.

A loss is -ln p(next token), in nats. Perplexity is e^(mean loss): as uncertain as a fair choice among so many words.
The sum over the bytes of the text, as bits per byte, lets models with different tokenizers be compared. The mean is
over all tokens of the set; a mean of batch means would weigh the tokens of a short last batch more.

`python -m model.cli.evaluate MODEL_DIR --data FILE...` measures a Hugging Face folder without any server; with
`--rolling` as lm-evaluation-harness does (`model.evaluation.rolling_likelihood`).
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from model.data.eval_set import EvalSet
from model.errors import BadConfig, NonFinite
from model.nn.causal_lm import CausalLM
from model.nn.losses import NO_LOSS, token_nats

# Shapes: R rows (windows) of a batch, T tokens, N targets that count, E width, V vocabulary, U units of the set.

ROWS_TOKENS = 4096  # tokens of one forward pass unless rows are given: enough to keep the cores busy, small in memory
HEAD_LOGITS = 1 << 22  # logits held at once (16 MB in float32): they stay in the cache between product and loss


@dataclass(frozen=True)
class UnitResult:
    """One unit of the statistics: a document, or a segment of a longer one."""

    nats: float
    tokens: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class SetResult:
    """What a model scored on a set. loss_nats = nats / tokens; perplexity = exp(loss_nats);
    bits_per_byte = nats / ln 2 / bytes."""

    name: str
    digest: str
    documents: int
    tokens: int
    bytes: int
    nats: float
    loss_nats: float
    perplexity: float
    bits_per_byte: float
    units: list[UnitResult]

    def summary(self) -> dict[str, Any]:
        """All but the units, ready for JSON."""
        return {key: value for key, value in asdict(self).items() if key != "units"}


def evaluate_set(
    model: CausalLM,
    eval_set: EvalSet,
    *,
    batch_rows: int | None = None,
    device: torch.device | str | None = None,
    vocab_limit: int | None = None,
    on_tokens: Callable[[int], None] | None = None,
) -> SetResult:
    """Measure a model on a set. The same weights, set, batch_rows and threads give the same bits.

    batch_rows: windows per forward pass (default: about 4,096 tokens); device: where the model is (default: of its
    weights); vocab_limit: leave out the logits of token ids from here on (tokens that were added to the vocabulary
    after the set's baseline was measured); on_tokens: called with the number of input tokens done, for progress bars.

    Raises BadConfig when the set's context or its token ids do not fit the model, NonFinite when a loss is NaN or inf.
    """
    limit = model.config.vocab_size if vocab_limit is None else vocab_limit
    _check_fit(model, eval_set, limit)
    rows = batch_rows if batch_rows is not None else max(1, ROWS_TOKENS // eval_set.context)
    device = torch.device(device) if device is not None else next(model.parameters()).device
    nats_U = torch.zeros(eval_set.units, dtype=torch.float64)
    tokens_U = torch.zeros(eval_set.units, dtype=torch.int64)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in eval_set.batches(rows):
                segments_RT = batch.segments_RT.to(device) if batch.segments_RT is not None else None
                hidden_RTE = model.hidden(batch.inputs_RT.to(device), segments_BT=segments_RT)
                counts_RT = batch.targets_RT != NO_LOSS
                nats_N = _nats(model, hidden_RTE, batch.targets_RT.to(device), counts_RT.to(device), limit)
                units_N = batch.units_RT[counts_RT].long()
                nats_U.index_add_(0, units_N, nats_N.cpu().double())
                tokens_U += torch.bincount(units_N, minlength=eval_set.units)
                if on_tokens is not None:
                    on_tokens(batch.inputs_RT.numel())
    finally:
        model.train(was_training)
    return _result(eval_set, nats_U, tokens_U)


def _nats(model: CausalLM, hidden_RTE: Tensor, targets_RT: Tensor, counts_RT: Tensor, limit: int) -> Tensor:
    """Nats of the targets that count, [N]. The output embedding is applied to these alone and a few at a time: the
    logits of a whole batch would be its largest tensor by far."""
    hidden_NE, targets_N = hidden_RTE[counts_RT], targets_RT[counts_RT]
    weight_VE = model.lm_head.weight[:limit]
    step = max(1, HEAD_LOGITS // limit)
    pieces = [
        token_nats(hidden_NE[start : start + step] @ weight_VE.T, targets_N[start : start + step])
        for start in range(0, len(targets_N), step)
    ]
    return torch.cat(pieces) if pieces else hidden_NE.new_zeros(0)


def _check_fit(model: CausalLM, eval_set: EvalSet, limit: int) -> None:
    config = model.config
    if eval_set.context > config.context:
        expected = f"at most the model's context, {config.context}"
        raise BadConfig(f"evaluation set {eval_set.name}: context", eval_set.context, expected)
    if not 1 <= limit <= config.vocab_size:
        raise BadConfig("vocab_limit", limit, f"1 to the model's vocabulary, {config.vocab_size}")
    largest = int(eval_set.tokens_N.max())
    if largest >= limit:
        raise BadConfig(f"evaluation set {eval_set.name}: token id", largest, f"ids below the vocabulary, {limit}")


def _result(eval_set: EvalSet, nats_U: Tensor, tokens_U: Tensor) -> SetResult:
    nats, tokens = float(nats_U.sum()), int(tokens_U.sum())
    loss_nats = nats / tokens  # tokens > 0: EvalSet.build refuses a set without targets
    if not math.isfinite(loss_nats) or loss_nats > 700:  # e^710 is over the largest float
        raise NonFinite(f"evaluation of {eval_set.name}", f"a mean loss of {loss_nats} nats", "a finite perplexity")
    sizes = eval_set.unit_bytes_U.tolist()
    units = [UnitResult(*row) for row in zip(nats_U.tolist(), tokens_U.tolist(), sizes, strict=True)]
    return SetResult(
        name=eval_set.name,
        digest=eval_set.digest,
        documents=eval_set.documents,
        tokens=tokens,
        bytes=eval_set.bytes,
        nats=nats,
        loss_nats=loss_nats,
        perplexity=math.exp(loss_nats),
        bits_per_byte=nats / math.log(2) / eval_set.bytes,
        units=units,
    )
