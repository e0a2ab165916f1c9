"""What a run is judged by: documents held out of its sources, and the contents that may not be trained on.

`hold` finds the documents that the evaluation sets of one source are made of; those of every source of a run, and of
the runs that it builds on, are the run's `Exam`. Of the held-out documents only as many are kept as the sets may hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from model.data.content import Content
from model.data.eval_set import UNIT_TOKENS
from model.data.held_out import HeldOut
from model.data.sources import Source
from model.data.split import CONTROL, REPORT, HoldOut, Nearest, Reservoir, key_of, route
from model.document import Document
from model.errors import BadSource
from model.tokenization.encoding import encode_texts

if TYPE_CHECKING:
    from model.tokenization.tokenizer import Tokenizer

_DOCUMENTS_A_BEAT = 1_000


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the evaluation sets of one source are made of: documents as they are measured (long ones shortened), and the
    contents of the whole ones."""

    control: tuple[Document, ...] = ()
    report: tuple[Document, ...] = ()
    contents: HeldOut = field(default_factory=HeldOut)


@dataclass(frozen=True, kw_only=True)
class Exam:
    """All that a run is judged by: the documents of each set, and every content that may not be trained on (those of
    the sets, and those that the runs before held out)."""

    sets: Mapping[str, tuple[Document, ...]]
    contents: HeldOut

    @classmethod
    def of(cls, held: Mapping[str, Held], before: HeldOut | None = None) -> Exam:
        """The exam of a run whose roles hold out so much; `before`: what its base was measured by."""
        sets = {}
        for role, parts in held.items():
            for part, documents in ((CONTROL, parts.control), (REPORT, parts.report)):
                if documents:
                    sets[f"{role}/{part}" if role else part] = documents
        return cls(
            sets=sets, contents=HeldOut.union([*(parts.contents for parts in held.values()), before or HeldOut()])
        )


def hold(
    source: Source, tokenizer: Tokenizer, hold_out: HoldOut | None = None, *, beat: Callable[[], None] = lambda: None
) -> Held:
    """The documents that the evaluation sets of a source are made of, found in one pass without tokenising the rest.

    The same contents give the same sets in any form and order. Raises BadSource when nothing is held out for a set.
    """
    rule = hold_out or HoldOut()
    if rule.fraction == 0:
        return Held()
    held = {CONTROL: Reservoir(rule.control_units, rule.salt), REPORT: Reservoir(rule.report_units, rule.salt)}
    nearest = Nearest(rule)
    for number, _ in enumerate(route(source, rule, held, nearest)):
        if number % _DOCUMENTS_A_BEAT == 0:
            beat()
    given_up = _fill_empty(source, rule, held, nearest, beat)
    chosen: dict[str, list[tuple[Document, Document]]] = {}
    caps = {CONTROL: (rule.control_units, rule.control_tokens), REPORT: (rule.report_units, rule.report_tokens)}
    contents = HeldOut()
    for part, (units, tokens) in caps.items():
        # A report set shares nothing with the control set, by which everything was chosen.
        documents = [document for document in held[part].by_hash() if not contents.finds(Content(document))]
        chosen[part] = within_caps(documents, tokenizer, units=units, tokens=tokens, shorten_to=rule.shorten_to)
        if not chosen[part]:
            raise BadSource(
                field=f"{source.uri}: {part} set",
                got="no document was held out for it",
                expected=f"more documents, or a hold-out fraction above {rule.fraction:g} (or 0 for none)",
            )
        contents |= HeldOut.of(whole for whole, _ in chosen[part])
    contents |= HeldOut.of(given_up)
    return Held(
        control=tuple(shown for _, shown in chosen[CONTROL]),
        report=tuple(shown for _, shown in chosen[REPORT]),
        contents=contents,
    )


def _fill_empty(
    source: Source, rule: HoldOut, held: dict[str, Reservoir], nearest: Nearest, beat: Callable[[], None]
) -> list[Document]:
    """Gives a set that the rule left empty the documents nearest to it, and returns them: none may be trained on."""
    share = max(1, round(nearest.documents * rule.fraction / 2))
    wanted = {part: nearest.take(share) for part in (CONTROL, REPORT) if not held[part].by_hash()}
    if not any(wanted.values()):
        return []
    given_up: list[Document] = []
    for number, document in enumerate(source):
        if number % _DOCUMENTS_A_BEAT == 0:
            beat()
        key = key_of(document)
        for part, keys in wanted.items():
            if key in keys:
                held[part].add(document)
                given_up.append(document)
    return given_up


def within_caps(
    by_hash: list[Document], tokenizer: Tokenizer, *, units: int, tokens: int, shorten_to: int | None
) -> list[tuple[Document, Document]]:
    """(whole, as it is measured) of the first documents by hash that stay within both caps, at least one."""
    chosen: list[tuple[Document, Document]] = []
    used_units = used_tokens = 0
    for whole in by_hash:
        document, length = _shortened(whole, tokenizer, shorten_to)
        used_units += max(1, -(-length // UNIT_TOKENS))
        used_tokens += length
        if chosen and (used_units > units or used_tokens > tokens):
            break
        chosen.append((whole, document))
    return chosen


def _shortened(document: Document, tokenizer: Tokenizer, most: int | None) -> tuple[Document, int]:
    """The document, a text of more than `most` tokens cut between words, and how many tokens it has."""
    if document.text is None:
        return document, len(tokenizer.encode_document(document)[0])
    text = document.text
    (ids,) = encode_texts(tokenizer, [document])
    length = len(ids)
    while most is not None and length > most:
        target = len(text) * most // length
        cut = max(text.rfind(" ", 0, target), text.rfind("\n", 0, target))
        text = text[: cut if cut > target // 2 else max(1, target)].rstrip() or text[: max(1, target)]
        (ids,) = encode_texts(tokenizer, [replace(document, text=text)])
        length = len(ids)
        if target < 2:
            break
    return (document if text == document.text else replace(document, text=text)), length
