"""The beginning of a text as a model reads it, for the command and the panel."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from retain.values import DataPreview, PreviewedToken

BAR_CHARACTERS = 30


def preview_lines(found: DataPreview) -> Iterator[str]:
    """What was read, each shown document in pieces with whether they are learned, and how hard the documents are."""
    yield facts_line(found)
    yield f"tokens: {found.tokenizer}"
    for note in found.notes:
        yield f"note: {note}"
    for one in found.documents:
        yield ""
        yield document_line(one.place, one.token_count, one.target_count, one.cut, one.difficulty)
        for is_target, pieces in groupby(one.tokens, key=lambda token: token.is_target):
            yield f"  {'learns' if is_target else 'reads '} | {'|'.join(visible(piece) for piece in pieces)}"
    if found.difficulty:
        yield ""
        yield from histogram_lines(found)


def facts_line(found: DataPreview) -> str:
    """How much was read."""
    what = "conversations" if found.kind == "chat" else "documents"
    end = "all there are" if found.complete else "the first ones"
    return f"{found.documents_read:,} {what}, {end}, {found.bytes_read:,} bytes of text"


def document_line(place: str, tokens: int, targets: int, cut: bool, difficulty: float | None) -> str:
    """Where it is from, and how many of its tokens train."""
    hard = "" if difficulty is None else f", difficulty {difficulty:.1f}"
    return f"{place}: {tokens:,} tokens, {targets:,} of them learned{', of its beginning' if cut else ''}{hard}"


def histogram_lines(found: DataPreview) -> Iterator[str]:
    """A bar for each range of difficulty."""
    most = max(bar.count for bar in found.difficulty)
    yield "difficulty, 1 (easy) to 5 (hard)"
    for bar in found.difficulty:
        yield f"  {bar.low:.1f} - {bar.high:.1f}  {bar.count:6,}  {'█' * round(BAR_CHARACTERS * bar.count / most)}"
    if found.unrated:
        yield f"  {found.unrated:,} documents do not say"


def visible(token: PreviewedToken) -> str:
    """A token on one line: line ends and what nobody sees as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in token.text)


def first_roles(sources: Sequence[str]) -> str:
    """The role that is looked at when none was asked for: what the stage is to learn."""
    return next((role for role in ("chat", "domain", "general") if role in sources), "general")
