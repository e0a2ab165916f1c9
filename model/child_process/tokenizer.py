"""A tokenizer whose encoding runs in a child within bounds; to its user it is the tokenizer that it was made of.

A regular expression that needs for ever, one that ends the process, a chat template that counts to a million million:
each becomes a BadSource that names the text or the conversation, and the next one is encoded by a new child.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import numpy as np

from model.child_process.child import raised
from model.child_process.process import Apart, Ended, Waiting
from model.document import Document
from model.errors import BadSource, RetainModelError
from model.tokenization.tokenizer import Tokenizer

MEMORY_BYTES = 3 << 30
_ALONE_S = 20.0  # for one text of a batch that did not return


class ApartTokenizer(Tokenizer):
    """A context manager: `with ApartTokenizer(tokenizer) as tokenizer: prepare(source, tokenizer, ...)`.

    waiting: called some times a second while the child is waited for; it may raise, to end the waiting.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, waiting: Waiting | None = None, patience_s: float | None = None
    ) -> None:
        self.__dict__.update(tokenizer.__dict__)
        self._waiting, self._patience_s = waiting, patience_s
        self._place = tokenizer.template_place
        self._folder = tempfile.TemporaryDirectory(prefix="retain-tokenizer-")
        tokenizer.save(Path(self._folder.name))
        self._child: Apart | None = None

    @classmethod
    def opened(cls, folder: Path, *, place: str, waiting: Waiting | None = None) -> ApartTokenizer:
        """The tokenizer of a folder of anybody, whose files this process never reads: it can encode and decode, and
        nothing else. `place` is how errors call it; the child tells them at the first text."""
        made = cls.__new__(cls)
        made._waiting, made._patience_s, made._place, made._child = waiting, None, place, None
        made._folder = tempfile.TemporaryDirectory(prefix="retain-tokenizer-")
        shutil.copytree(folder, made._folder.name, dirs_exist_ok=True)
        return made

    def __enter__(self) -> ApartTokenizer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child."""
        self._end()
        self._folder.cleanup()

    def encode_batch(self, texts: Sequence[str], *, add_special_tokens: bool = True) -> list[list[int]]:
        """See Tokenizer. The lists are arrays. Raises BadSource also for the first text that ends the child."""
        try:
            return self._encoded(texts, add_special_tokens, self._patience_s)
        except (Ended, BadSource) as error:
            if len(texts) == 1:
                self._refuse(texts[0], error)
        # One of them does what a text must not; which, they tell one by one.
        found = []
        alone_s = min(_ALONE_S, self._patience_s or _ALONE_S)
        for number, text in enumerate(texts):
            try:
                found += self._encoded([text], add_special_tokens, alone_s)
            except (Ended, BadSource) as error:
                self._refuse(text, error, number)
        return found

    def encode_document(self, document: Document) -> tuple[list[int], list[int]]:
        """See Tokenizer."""
        asked = [[document.messages, document.tools, {"row": document.meta.get("row", "messages")}]]
        try:
            header, blob = self._ask({"op": "chats", "documents": asked}, b"", self._patience_s)
        except Ended as error:
            place = f"{document.meta.get('row', document.origin)}: messages"
            got = f"a conversation that the chat template or the tokenizer does not get through: it {error}"
            raise BadSource(place, got, "a template that ends, within its bounds") from error
        (length,) = header["lengths"]
        ids = np.frombuffer(blob, dtype="<u4", count=length)
        return ids.tolist(), np.frombuffer(blob, dtype="u1", offset=4 * length).tolist()

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """See Tokenizer."""
        try:
            asked = {"op": "decode", "special": skip_special_tokens}
            blob = self._ask(asked, np.asarray(ids, dtype="<u4").tobytes(), self._patience_s)[1]
        except Ended as error:
            raise BadSource(
                "tokens", f"what the tokenizer does not decode: it {error}", "a decoder that ends"
            ) from error
        return blob.decode("utf-8", "surrogatepass")

    def _encoded(self, texts: Sequence[str], special: bool, patience_s: float | None) -> list[Any]:
        try:
            raw = [text.encode() for text in texts]
        except UnicodeEncodeError as error:
            raise BadSource("text", str(error), "valid Unicode text (no lone surrogates)") from error
        asked = {"op": "texts", "lengths": list(map(len, raw)), "special": special}
        header, blob = self._ask(asked, b"".join(raw), patience_s)
        ends = np.cumsum(header["lengths"], dtype=np.int64)
        return np.split(np.frombuffer(blob, dtype="<u4"), ends[:-1])

    def _ask(self, asked: dict[str, Any], blob: bytes, patience_s: float | None) -> tuple[dict[str, Any], bytes]:
        whole = False
        try:
            if self._child is None or not self._child.is_ready():
                self._child = self._started()
            self._child.send(asked, blob, waiting=self._waiting)
            while True:
                header, answer = self._child.receive(waiting=self._waiting, patience_s=patience_s)
                if "sign" not in header:
                    break
            whole = not header.get("last")
        finally:
            if not whole:  # what comes from this child now would answer another question
                self._end()
        if "fault" in header:
            raise raised(header["fault"], "text")
        return header, answer

    def _started(self) -> Apart:
        self._end()
        child = Apart("model.child_process.encode", memory_bytes=MEMORY_BYTES, threads=os.cpu_count() or 1)
        self._child = child
        child.send({"op": "load", "folder": self._folder.name, "place": self._place}, waiting=self._waiting)
        header, _ = child.receive(waiting=self._waiting)
        if "fault" in header:
            raise raised(header["fault"], self._place)
        return child

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def _refuse(self, text: str, error: Ended | RetainModelError, number: int = 0) -> NoReturn:
        why = error.got if isinstance(error, RetainModelError) else f"it {error}"
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        got = f"a text that the tokenizer does not get through ({why}): {shown!r}"
        raise BadSource(f"text[{number}]", got, "a tokenizer that ends, within its bounds") from error
