"""The child that encodes and that trains tokenizers: their regular expressions and chat templates are foreign too.

    {"op": "load", "folder", "place"}      the tokenizer of a folder; place: where its template comes from, if not there
    {"op": "preset"}                       no tokenizer, but our own chat template
    {"op": "render", "documents"}          conversations -> text in pieces, each with whether its tokens are targets
    {"op": "texts", "lengths", "special"}  bytes of texts -> ids
    {"op": "chats", "documents"}           conversations -> ids and masks
    {"op": "decode", "special"}            ids -> text
    {"op": "train", ...}, {"op": "text"} ..., {"op": "done"}   texts -> a tokenizer

Ids go as uint32, masks as bytes behind them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from model.child_process.child import Parent, plain, serve
from model.document import Document
from model.errors import RetainModelError
from model.tokenization.chat_template import render_example
from model.tokenization.long_words import ShortWords
from model.tokenization.tokenizer import Tokenizer, default_chat_format


class Encoder:
    """Answers requests with the tokenizer that was loaded last."""

    def __init__(self) -> None:
        self._tokenizer: Tokenizer | None = None
        self._format = default_chat_format()

    def answer(self, parent: Parent, asked: dict[str, Any], blob: bytes) -> None:
        """One request. Raises RuntimeError."""
        if asked["op"] == "load":
            self._tokenizer = Tokenizer.load(asked["folder"])
            if asked["place"] is not None:
                self._tokenizer.template_place = asked["place"]
            self._format = self._tokenizer.chat_format
            parent.send({"digest": self._tokenizer.digest})
        elif asked["op"] == "preset":
            self._format = default_chat_format()
            parent.send({})
        elif asked["op"] == "render":
            parent.send({"rendered": [self._rendered(parent, *facts) for facts in asked["documents"]]})
        elif asked["op"] == "train":
            _train(parent, asked)
        elif self._tokenizer is None:
            raise RuntimeError("no tokenizer was loaded")
        elif asked["op"] == "texts":
            texts = cut_texts(blob, asked["lengths"])
            _send_ids(parent, self._tokenizer.encode_batch(texts, add_special_tokens=asked["special"]))
        elif asked["op"] == "chats":
            pairs = []
            for messages, tools, meta in asked["documents"]:
                document = Document(messages=tuple(messages), tools=tuple(tools), origin="", meta=meta)
                pairs.append(self._tokenizer.encode_document(document))
                parent.sign()
            _send_ids(parent, [ids for ids, _ in pairs], [mask for _, mask in pairs])
        elif asked["op"] == "decode":
            ids = np.frombuffer(blob, dtype="<u4").tolist()
            text = self._tokenizer.decode(ids, skip_special_tokens=asked["special"])
            parent.send({}, text.encode("utf-8", "surrogatepass"))

    def _rendered(self, parent: Parent, messages: list[Any], tools: list[Any], meta: dict[str, Any]) -> dict[str, Any]:
        document = Document(messages=tuple(messages), tools=tuple(tools), origin="", meta=meta)
        parent.sign()
        try:
            example = render_example(self._format, document)
        except RetainModelError as error:
            return {"fault": plain(error)}
        return {"pieces": example.pieces, "notes": example.notes}


def cut_texts(blob: bytes, lengths: Sequence[int]) -> list[str]:
    """Texts of so many bytes each, one behind the other."""
    texts, begin = [], 0
    for length in lengths:
        texts.append(str(blob[begin : begin + length], "utf-8"))
        begin += length
    return texts


def _send_ids(parent: Parent, lists: Sequence[Sequence[int]], masks: Sequence[Sequence[int]] = ()) -> None:
    flat = np.concatenate([np.asarray(ids, dtype="<u4") for ids in lists]) if lists else np.zeros(0, dtype="<u4")
    bits = np.concatenate([np.asarray(mask, dtype="u1") for mask in masks]).tobytes() if masks else b""
    parent.send({"lengths": [len(ids) for ids in lists]}, flat.tobytes() + bits)


def _train(parent: Parent, asked: dict[str, Any]) -> None:
    requests = parent.requests()

    def texts() -> Iterator[str]:
        for header, blob in requests:
            if header["op"] != "text":
                return
            yield from cut_texts(blob, header["lengths"])
            parent.sign()

    words = ShortWords(texts())
    trained = Tokenizer.train_bpe(words, asked["vocab_size"], min_frequency=asked["min_frequency"])
    parent.send({"note": words.note()}, trained.to_json().encode())


if __name__ == "__main__":
    serve(Encoder().answer)
