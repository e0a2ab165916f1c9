"""Each document alone, as lm-evaluation-harness measures it ("rolling log-likelihood"): its figures can be compared.

`model.evaluation.perplexity` joins the documents of a set, so that a short one is read in the context that training
gave it, and the first token of all is never predicted. The harness reads every document by itself: a prefix token (BOS,
without one EOS) and behind it windows of `context` targets. The last window is not shorter: it begins earlier, and only
the targets that no window had yet count. So every token of a document is predicted, the first one from the prefix.

By default (0.4.13) the harness takes the tokens that the tokenizer makes, with what its post-processor adds: a BOS of
its own is then predicted from the prefix, which costs a small model a few nats a document. `bare` leaves that out, as
the harness does with `add_bos_token=False` and did by default in earlier versions.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from model.document import Document
from model.errors import BadConfig, BadSource, NonFinite
from model.evaluation.perplexity import ROWS_TOKENS, SetResult, UnitResult
from model.nn.causal_lm import CausalLM
from model.nn.losses import NO_LOSS, token_nats
from model.tokenization.tokenizer import Tokenizer

# Shapes: R windows of a batch, T tokens of the longest, V vocabulary.


def rolling_windows(ids: Sequence[int], prefix_id: int, context: int) -> list[tuple[list[int], int]]:
    """(input tokens, how many of the targets behind them count) of each window; a window's targets are its inputs and
    the token after them, the first input left out."""
    tokens = [prefix_id, *ids]
    windows = []
    for done in range(0, len(ids), context):
        end = min(done + context, len(ids))
        windows.append((tokens[max(0, end - context) : end + 1], end - done))
    return windows


def evaluate_rolling(
    model: CausalLM,
    tokenizer: Tokenizer,
    name: str,
    documents: Sequence[Document],
    *,
    context: int,
    bare: bool = False,
    batch_rows: int | None = None,
    on_tokens: Callable[[int], None] | None = None,
) -> SetResult:
    """Measure texts one by one; see the module. Units are documents. bare: without the tokens that the tokenizer adds.

    Raises BadSource for conversations, BadConfig for a context that the model does not have or a tokenizer with neither
    BOS nor EOS, NonFinite for a loss that is NaN or infinite.
    """
    texts = [document.text for document in documents]
    if any(text is None for text in texts):
        raise BadSource(f"evaluation set {name}", "conversations", "texts, each of which is measured alone")
    if not 1 <= context <= model.config.context:
        raise BadConfig("context", context, f"1 to the model's context, {model.config.context}")
    prefix_id = tokenizer.bos_id if tokenizer.bos_id is not None else tokenizer.eos_id
    if prefix_id is None:
        raise BadConfig("tokenizer", "neither bos_token nor eos_token", "one of them, to predict the first token from")
    encoded = tokenizer.encode_batch([str(text) for text in texts], add_special_tokens=not bare)
    windows = [
        (number, inputs, count)
        for number, ids in enumerate(encoded)
        for inputs, count in rolling_windows(ids, prefix_id, context)
    ]
    rows = batch_rows if batch_rows is not None else max(1, ROWS_TOKENS // context)
    nats = _nats_by_document(model, len(encoded), windows, rows, on_tokens)
    units = [
        UnitResult(nats[n], len(ids), len(str(text).encode()))
        for n, (ids, text) in enumerate(zip(encoded, texts, strict=True))
    ]
    content = ["rolling", texts, tokenizer.digest, encoded, prefix_id, context]
    return _result(name, hashlib.sha256(json.dumps(content).encode()).hexdigest(), units)


def _nats_by_document(
    model: CausalLM,
    documents: int,
    windows: Sequence[tuple[int, list[int], int]],
    rows: int,
    on_tokens: Callable[[int], None] | None,
) -> list[float]:
    """Summed nats of each document, by its number; `rows` windows are computed at once."""
    nats = [0.0] * documents
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(windows), rows):
                some = windows[start : start + rows]
                for (number, _, _), found in zip(some, window_nats(model, some, device), strict=True):
                    nats[number] += found
                if on_tokens is not None:
                    on_tokens(sum(count for _, _, count in some))
    finally:
        model.train(was_training)
    return nats


def window_nats(model: CausalLM, windows: Sequence[tuple[int, list[int], int]], device: torch.device) -> list[float]:
    """Summed nats of the last targets of each window (number, tokens, how many count), with no padding seen by them."""
    longest = max(len(tokens) for _, tokens, _ in windows) - 1
    inputs_RT = torch.zeros((len(windows), longest), dtype=torch.int64)
    targets_RT = torch.full((len(windows), longest), NO_LOSS, dtype=torch.int64)
    for row, (_, tokens, count) in enumerate(windows):
        length = len(tokens) - 1
        inputs_RT[row, :length] = torch.tensor(tokens[:-1])
        targets_RT[row, length - count : length] = torch.tensor(tokens[-count:])
    hidden_RTE = model.hidden(inputs_RT.to(device))
    sums = []
    for row in range(len(windows)):
        counts_T = targets_RT[row] != NO_LOSS
        logits_NV = functional.linear(hidden_RTE[row][counts_T.to(device)], model.lm_head.weight)
        sums.append(float(token_nats(logits_NV, targets_RT[row][counts_T].to(device)).double().sum()))
    return sums


def _result(name: str, digest: str, units: list[UnitResult]) -> SetResult:
    nats, tokens, size = (sum(getattr(unit, key) for unit in units) for key in ("nats", "tokens", "bytes"))
    if not tokens:
        raise BadSource(f"evaluation set {name}", "no token", "texts with at least one token")
    loss_nats = nats / tokens
    if not math.isfinite(loss_nats) or loss_nats > 700:
        raise NonFinite(f"evaluation of {name}", f"a mean loss of {loss_nats} nats", "a finite perplexity")
    return SetResult(
        name=name,
        digest=digest,
        documents=len(units),
        tokens=int(tokens),
        bytes=int(size),
        nats=nats,
        loss_nats=loss_nats,
        perplexity=math.exp(loss_nats),
        bits_per_byte=nats / math.log(2) / size,
        units=units,
    )
