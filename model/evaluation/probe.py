"""Asks a model the items of the probe (model/probe) and judges its answers.

Choices are judged by loss: the ending with the least nats a character is the model's answer, which is `acc_norm` of
lm-evaluation-harness (Gao et al. 2021, "A framework for few-shot language model evaluation"). Answers in a chat are
generated greedily. So the same model gives the same answers, bit for bit.

What a model does not know at all is not asked to the end: a kind of prompt of which none of the first FIRST_ITEMS was
right is left at those, for there is hardly anything to lose. Whoever compares two models asks the second one exactly
what the first was asked.
"""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import torch

from model.errors import NonFinite, RetainModelError
from model.evaluation.generate import end_ids, generate_ids
from model.evaluation.rolling_likelihood import window_nats
from model.nn.causal_lm import CausalLM
from model.probe import Choice, Prompt, choices, prompts
from model.probe.checks import passes
from model.tokenization.tokenizer import Tokenizer

FIRST_ITEMS = 10
CHOICE, STOP = "choice", "stop"
_ROWS = 16  # endings in one forward pass


class ProbeTooSlow(RetainModelError):
    """Asking took longer than it may: nothing is said about the model."""

    reason = "PROBE_TOO_SLOW"


def ask_probe(
    model: CausalLM,
    tokenizer: Tokenizer,
    *,
    answer_tokens: int,
    most_seconds: float = math.inf,
    only: Collection[str] | None = None,
    on_item: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, bool]:
    """Whether the model was right, by id of the item. only: ids to ask (of an answer's end too); None asks until it is
    clear what the model does not know. on_item: called after each item, and with each token of an answer.

    Items that do not fit the model's context are left out, and so are all prompts where there is no chat template.
    Raises ProbeTooSlow.
    """
    ends_s = clock() + most_seconds

    def go_on() -> None:
        on_item()
        if clock() > ends_s:
            raise ProbeTooSlow("probe", f"more than {most_seconds:g} s", "answers within that time")

    was_training = model.training
    model.eval()
    try:
        found = (
            {}
            if only is not None and not any(one.startswith(CHOICE) for one in only)
            else {item.id: right for item, right in _choose(model, tokenizer, go_on) if only is None or item.id in only}
        )
        return found | _answers(model, tokenizer, answer_tokens, only, go_on)
    finally:
        model.train(was_training)


def _choose(model: CausalLM, tokenizer: Tokenizer, go_on: Callable[[], None]) -> Sequence[tuple[Choice, bool]]:
    """Every choice that fits, and whether the right ending has the least loss a character."""
    device = next(model.parameters()).device
    rows: list[tuple[int, list[int], int]] = []
    items: list[Choice] = []
    for item in choices():
        windows = [_window(tokenizer, item.beginning, ending) for ending in item.endings]
        if all(len(ids) <= model.config.context for ids, _ in windows):
            rows += [(len(items), ids, count) for ids, count in windows]
            items.append(item)
    nats: list[float] = []
    with torch.inference_mode():
        for start in range(0, len(rows), _ROWS):
            nats += window_nats(model, rows[start : start + _ROWS], device)
            go_on()
    found, at = [], 0
    for item in items:
        losses = [n / len(ending) for n, ending in zip(nats[at : at + len(item.endings)], item.endings, strict=True)]
        at += len(item.endings)
        finite = all(math.isfinite(loss) for loss in losses)
        found.append((item, finite and losses.index(min(losses)) == item.right))
    return found


def _window(tokenizer: Tokenizer, beginning: str, ending: str) -> tuple[list[int], int]:
    """Ids of beginning and ending, and how many of them are the ending's: those after as many as the beginning has by
    itself, at least one."""
    whole = tokenizer.encode_open(f"{beginning} {ending}")
    return whole, max(1, len(whole) - len(tokenizer.encode_open(beginning)))


def _answers(
    model: CausalLM,
    tokenizer: Tokenizer,
    answer_tokens: int,
    only: Collection[str] | None,
    go_on: Callable[[], None],
) -> dict[str, bool]:
    if tokenizer.chat_format.template is None:
        return {}
    stops = end_ids(model, tokenizer)
    never = [i for i in range(model.config.vocab_size) if i not in tokenizer.ids]
    found: dict[str, bool] = {}
    asked: dict[str, list[bool]] = {}
    for prompt in prompts():
        known = asked.setdefault(prompt.kind, [])
        given_up = only is None and len(known) >= FIRST_ITEMS and not any(known)
        ids = tokenizer.encode_prompt([{"role": "user", "content": prompt.text}])
        if given_up or (only is not None and prompt.id not in only) or len(ids) + answer_tokens > model.config.context:
            continue
        made: list[int] = []
        try:
            for token_id in generate_ids(
                model, ids, max_new_tokens=answer_tokens, temperature=0, stop_ids=stops, never_ids=never
            ):
                made.append(token_id)
                go_on()
        except NonFinite:
            made = []
            right = ended = False  # what cannot be computed is no answer
        else:
            right, ended = passes(prompt, tokenizer.decode(made)), len(made) < answer_tokens
        known.append(right)
        found[prompt.id], found[stop_id(prompt)] = right, ended
    return found


def stop_id(prompt: Prompt) -> str:
    """Under what the end of an answer is kept."""
    return f"{STOP}/{prompt.id}"


def by_kind(answers: Mapping[str, bool]) -> dict[str, dict[str, bool]]:
    """Answers by kind of item: choice, format, json, stop."""
    found: dict[str, dict[str, bool]] = {}
    for name, right in answers.items():
        found.setdefault(name.split("/", 1)[0], {})[name] = right
    return found
