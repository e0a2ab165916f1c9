"""Conversations rendered by a child as the worker will: what is read, which tokens are targets, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.child_process.child import raised
from model.child_process.process import Apart, Ended, Waiting
from model.document import Document
from model.errors import BadSource, RetainModelError
from model.tokenization.encoding import place_of

MEMORY_BYTES = 3 << 30
START_S, PATIENCE_S = 30.0, 8.0  # to load a tokenizer; to render a few conversations, which takes milliseconds


class NotThrough(BadSource):
    """A tokenizer or a chat template that hangs its reader, or ends it."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """One conversation. pieces: (text, whether its tokens are targets), which joined are all that the model reads;
    notes: what the template leaves out by its own rules; fault: why it is refused, then there are no pieces."""

    pieces: tuple[tuple[str, bool], ...] = ()
    notes: tuple[str, ...] = ()
    fault: RetainModelError | None = None


class ApartRenderer:
    """A context manager. folder: a model folder, whose tokenizer is loaded at once; None: our own template, as models
    of a preset have it. Raises RetainModelError for a tokenizer that cannot be loaded."""

    def __init__(self, folder: str | None, *, waiting: Waiting | None = None) -> None:
        self._folder, self._waiting = folder, waiting
        self._child = self._started()

    def __enter__(self) -> ApartRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.end()

    def render(self, documents: Sequence[Document]) -> list[Rendered]:
        """Each of them, up to one that hangs the child or ends it: that is a NotThrough, and the last of the list."""
        try:
            return self._ask(documents)
        except Ended as error:
            self._child.end()
            self._child = self._started()
            if len(documents) > 1:
                return self._one_by_one(documents)
            got = f"a conversation that the chat template or the tokenizer does not get through: it {error}"
            place = f"{place_of(documents[0])}: messages"
            return [Rendered(fault=NotThrough(place, got, "a template that ends, within its bounds"))]

    def _one_by_one(self, documents: Sequence[Document]) -> list[Rendered]:
        found: list[Rendered] = []
        for document in documents:
            found += self.render([document])
            if isinstance(found[-1].fault, NotThrough):
                break
        return found

    def _ask(self, documents: Sequence[Document]) -> list[Rendered]:
        asked = [[one.messages, one.tools, {"row": place_of(one)}] for one in documents]
        self._child.send({"op": "render", "documents": asked}, waiting=self._waiting)
        header = self._answer(self._child, PATIENCE_S)
        return [
            Rendered(fault=raised(one["fault"], "messages"))
            if "fault" in one
            else Rendered(pieces=tuple((text, said) for text, said in one["pieces"]), notes=tuple(one["notes"]))
            for one in header["rendered"]
        ]

    def _started(self) -> Apart:
        child = Apart("model.child_process.encode", memory_bytes=MEMORY_BYTES, patience_s=START_S)
        try:
            op = {"op": "preset"} if self._folder is None else {"op": "load", "folder": self._folder, "place": None}
            child.send(op, waiting=self._waiting)
            self._answer(child, START_S)
        except Ended as error:
            child.end()
            got = f"a tokenizer that the reader does not get through: it {error}"
            raise NotThrough(f"{self._folder}/tokenizer.json", got, "a tokenizer within its bounds") from error
        except BaseException:
            child.end()
            raise
        return child

    def _answer(self, child: Apart, patience_s: float) -> dict[str, Any]:
        while True:
            header, _ = child.receive(waiting=self._waiting, patience_s=patience_s)
            if "fault" in header:
                raise raised(header["fault"], str(self._folder or "chat_template"))
            if "sign" not in header:
                result: dict[str, Any] = header
                return result


def try_tokenizer(folder: str) -> None:
    """Loads the tokenizer of a folder in a child. Raises NotThrough where that hangs or ends it; other faults are for
    those to tell who load it next."""
    try:
        with ApartRenderer(folder):
            return
    except NotThrough:
        raise
    except RetainModelError:
        return
