"""Text to token ids and back, by the `tokenizers` library: a byte-level BPE that we train, or one taken from a model.

Text is data: `<|end|>` inside a document or a message is five ordinary pieces of text, never the special token. Special
tokens come only from the post-processor (`<|bos|>` in front of each document) and from the chat template.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tokenizers import AddedToken, decoders
from tokenizers import Tokenizer as Backend

from model.document import Document
from model.errors import BadConfig, BadSource
from model.tokenization.bpe import train_backend
from model.tokenization.chat_template import (
    ChatFormat,
    Message,
    RenderedChat,
    free_window,
    has_a_name,
    render_chat,
    render_example,
)
from model.tokenization.special_tokens import PRESET_NAMES, SPECIAL_TOKENS, mark_special, text_only
from model.tokenization.tokenizer_files import CHAT_TEMPLATE_FILE, read_tokenizer, write_tokenizer

MOST_SPECIAL = 0x1800
STAND_INS = 0x800  # place in a window of private characters, behind those of `chat_template`
# Raise it when the same template and messages give other ids or another mask than before.
CHAT_RENDERING = 2


def default_chat_template() -> str:
    """Our own chat template, with {% generation %} marks."""
    return (Path(__file__).parent / CHAT_TEMPLATE_FILE).read_text(encoding="utf-8")


def default_chat_format() -> ChatFormat:
    """How the models of a preset read conversations, whatever their tokenizer was trained on."""
    return ChatFormat(
        template=default_chat_template(),
        special_tokens=PRESET_NAMES,
        all_special=sorted(SPECIAL_TOKENS, key=len, reverse=True),
    )


class Tokenizer:
    """A tokenizer with its special tokens and its chat template. Do not change one after it was made."""

    def __init__(
        self,
        backend: Backend,
        *,
        special_tokens: Mapping[str, str | None],
        chat_template: str | None = None,
        tool_template: str | None = None,
        template_place: str = "chat_template",
    ) -> None:
        """special_tokens: bos_token, eos_token, pad_token, unk_token -> the token's text (or None); tool_template: the
        chat template for conversations with tools, where it is another one; template_place: where they come from."""
        backend.no_truncation()  # a truncation saved by somebody's training run would silently cut documents
        backend.no_padding()
        self.special_tokens = {name: token for name, token in special_tokens.items() if token}
        self.chat_template, self.tool_template = chat_template, tool_template
        self.template_place = template_place
        for name, token in self.special_tokens.items():
            if backend.token_to_id(token) is None:
                raise BadConfig(f"tokenizer.{name}", token, "a token of the vocabulary")
        mark_special(backend, [AddedToken(token, special=True) for token in self.special_tokens.values()])
        canonical = json.dumps(json.loads(backend.to_str()), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        self.digest = hashlib.sha256(canonical.encode()).hexdigest()
        self.all_special = sorted(
            (t.content for t in backend.get_added_tokens_decoder().values() if t.special), key=len
        )
        self.all_special.reverse()  # longest first, for matching
        if len(self.all_special) > MOST_SPECIAL:
            raise BadConfig("tokenizer", f"{len(self.all_special):,} special tokens", f"up to {MOST_SPECIAL:,}")
        self.ids = frozenset(backend.get_vocab(with_added_tokens=True).values())
        self.vocab_size = max(self.ids) + 1
        self._templated = backend  # finds special tokens in the text of a rendered template
        self._backend = text_only(backend)  # takes all text as ordinary
        self._guarded: dict[int, Backend] = {}

    # Making one

    @classmethod
    def train_bpe(
        cls, texts: Iterable[str], vocab_size: int, *, min_frequency: int = 2, show_progress: bool = False
    ) -> Self:
        """Train a byte-level BPE; the same texts in the same order give the same tokenizer, on any number of threads.

        Digits are single tokens, so that numbers of equal length look alike (as in Llama; arithmetic needs it). Words
        without end count in pieces, see `model.tokenization.long_words`; `model.child_process.training` trains in a
        process of its own. The vocabulary comes out smaller than asked for when the texts do not hold enough pairs.
        Raises BadConfig for a vocabulary below 256 bytes and the special tokens, BadSource without any text.
        """
        return cls.of_preset(train_backend(texts, vocab_size, min_frequency=min_frequency, show_progress=show_progress))

    @classmethod
    def of_preset(cls, backend: Backend) -> Self:
        """The tokenizer of what `train_bpe` trains: our special tokens, our chat template."""
        return cls(backend, special_tokens=PRESET_NAMES, chat_template=default_chat_template())

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """The tokenizer of a model folder in Hugging Face's layout. Raises BadCheckpoint when it cannot be read."""
        files = read_tokenizer(Path(folder))
        return cls(
            files.backend,
            special_tokens=files.special_tokens,
            chat_template=files.chat_template,
            tool_template=files.tool_template,
            template_place=files.template_place,
        )

    def save(self, folder: Path | str) -> None:
        """Write tokenizer.json, tokenizer_config.json and chat_template.jinja, as AutoTokenizer reads them."""
        write_tokenizer(
            Path(folder),
            tokenizer_json=self._templated.to_str(pretty=True),
            special_tokens=self.special_tokens,
            chat_template=self.chat_template,
            tool_template=self.tool_template,
        )

    def to_json(self) -> str:
        """The text of a tokenizer.json, whole."""
        return self._templated.to_str()

    # Using one

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides ids, masks and rendering: tokenizer.json with its special tokens, which of
        them is BOS, EOS and so on, and the chat template. `digest` is of the first alone, which decides the ids of
        plain text."""
        content = [CHAT_RENDERING, self.digest, sorted(self.special_tokens.items()), self.chat_template]
        content += [] if self.tool_template is None else [self.tool_template]
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()

    def token_id(self, token: str) -> int | None:
        """Id of a token by its text, or None."""
        return self._templated.token_to_id(token)

    @property
    def bos_id(self) -> int | None:
        """Id of the token that begins a document, if there is one."""
        return self._special_id("bos_token")

    @property
    def eos_id(self) -> int | None:
        """Id of the token that ends an answer, if there is one."""
        return self._special_id("eos_token")

    @property
    def pad_id(self) -> int | None:
        """Id of the token that fills rows up, if there is one."""
        return self._special_id("pad_token")

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a document, with what the post-processor adds (usually the BOS in front)."""
        return self.encode_batch([text], add_special_tokens=add_special_tokens)[0]

    def encode_open(self, text: str) -> list[int]:
        """Token ids of a text that continues: with what the post-processor puts in front of a document, without what it
        puts behind."""
        inner = list(map(int, self.encode(text, add_special_tokens=False)))  # a child process answers with arrays
        probe = text if inner else "a"
        alone, whole = (list(map(int, self.encode(probe, add_special_tokens=added))) for added in (False, True))
        front = next((n for n in range(len(whole) - len(alone) + 1) if whole[n : n + len(alone)] == alone), 0)
        return [*whole[:front], *inner]

    def encode_batch(self, texts: Sequence[str], *, add_special_tokens: bool = True) -> list[list[int]]:
        """Token ids of several documents, on all cores. Raises BadSource for text that is not valid Unicode."""
        try:
            found = self._backend.encode_batch_fast(list(texts), add_special_tokens=add_special_tokens)
        except (UnicodeEncodeError, TypeError) as error:
            raise BadSource("text", str(error), "valid Unicode text (no lone surrogates)") from error
        return [encoding.ids for encoding in found]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids."""
        return self._templated.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def decode_stream(self, prompt_ids: Sequence[int]) -> Callable[[int], str | None]:
        """A function that takes one new token id at a time and returns the text that it completes: None while the bytes
        of a character are still missing. The prompt comes first so that spaces between the two are right."""
        stream = decoders.DecodeStream(ids=list(prompt_ids), skip_special_tokens=True)
        return lambda token_id: stream.step(self._templated, token_id)

    @property
    def chat_format(self) -> ChatFormat:
        """What rendering a conversation takes."""
        return ChatFormat(
            template=self.chat_template,
            tool_template=self.tool_template,
            special_tokens=self.special_tokens,
            all_special=self.all_special,
            place=self.template_place,
        )

    def encode_document(self, document: Document) -> tuple[list[int], list[int]]:
        """(ids, mask) of a conversation; mask is 1 for tokens that the assistant says, its end-of-turn included.

        The mask belongs to the token itself: it is a target when its mask is 1. Raises BadConfig without a
        chat template that can be trained with, BadSource for a conversation without an assistant turn or one that the
        template does not show whole; errors name the document's row.
        """
        chat = render_example(self.chat_format, document).chat
        return self._encode_masked(chat, str(document.meta.get("row", "messages")))

    def _encode_masked(self, chat: RenderedChat, where: str) -> tuple[list[int], list[int]]:
        ids, offsets = self._encode_rendered(chat, where)
        mask = [0] * len(ids)
        for start, end in chat.spans:
            inside = [n for n, (a, b) in enumerate(offsets) if a < end and (b > start or (a == b and a >= start))]
            if inside:
                mask[inside[0] : inside[-1] + 1] = [1] * (inside[-1] + 1 - inside[0])
        if not any(mask):
            raise BadSource(where, "assistant turns without a token", "an assistant turn with content")
        return ids, mask

    def encode_prompt(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Token ids of a conversation up to where the assistant is to answer. Raises BadConfig."""
        form = self.chat_format
        template = form.tool_template if tools and form.tool_template is not None else form.template
        if template is None:
            raise BadConfig("tokenizer.chat_template", "none", "a tokenizer with a chat template, for conversations")
        chat = render_chat(
            template,
            messages,
            form.special_tokens,
            all_special=form.all_special,
            tools=tools,
            add_generation_prompt=True,
            spans=False,
        )
        return self._encode_rendered(chat, "messages")[0]

    def encode_rendered(self, text: str) -> list[int]:
        """Token ids of what a chat template itself wrote: special tokens are found in it. Never for foreign text."""
        ids: list[int] = self._templated.encode(text, add_special_tokens=False).ids
        return ids

    def _encode_rendered(self, chat: RenderedChat, where: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and character ranges. Without guards the text is taken whole, exactly as transformers does it. With them,
        each special token of the template is written as a private character that stands for it, with the same rules
        about the white space beside it, and all else is ordinary text: so only what was guarded comes out differently.
        """
        try:
            if not chat.guards:
                encoding = self._templated.encode(chat.text, add_special_tokens=False)
                return encoding.ids, encoding.offsets
            return self._encode_guarded(chat)
        except (UnicodeEncodeError, TypeError) as error:
            raise BadSource(where, str(error), "valid Unicode text (no lone surrogates)") from error

    def _encode_guarded(self, chat: RenderedChat) -> tuple[list[int], list[tuple[int, int]]]:
        window = free_window(chat.text.translate(dict.fromkeys(map(ord, chat.guards)))) + STAND_INS
        names = [token for token in self.all_special if has_a_name(token)]
        stand_in = {token: chr(window + n) for n, token in enumerate(names)}
        if window not in self._guarded:
            self._guarded[window] = text_only(self._templated, stand_in)
        text: list[str] = []
        places = [0]  # of each character of the new text in the rendered one
        for piece in re.split("(" + "|".join(map(re.escape, names)) + ")", chat.text):
            if piece in stand_in:
                text.append(stand_in[piece])
                places.append(places[-1] + len(piece))
            else:
                text.append(piece)
                places.extend(range(places[-1] + 1, places[-1] + len(piece) + 1))
        plain = "".join(chat.guards.get(character, character) for character in "".join(text))
        encoding = self._guarded[window].encode(plain, add_special_tokens=False)
        return encoding.ids, [(places[a], places[b]) for a, b in encoding.offsets]

    def _special_id(self, name: str) -> int | None:
        token = self.special_tokens.get(name)
        return self._templated.token_to_id(token) if token is not None else None
