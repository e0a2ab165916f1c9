"""Text to token ids and back, by the `tokenizers` library: a byte-level BPE that we train, or one taken from a model.

Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) starts from single bytes and again and again joins the
commonest pair, until the vocabulary is full; starting from bytes (GPT-2, Radford et al. 2019), no text is unknown.

Text is data: `<|end|>` inside a document or a message is five ordinary pieces of text, never the special token. Special
tokens come only from the post-processor (`<|bos|>` in front of each document) and from the chat template.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from model.chat import Message, RenderedChat, has_generation_marks, render_chat
from model.errors import BadCheckpoint, BadConfig, BadSource

BOS, END, PAD = "<|bos|>", "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (BOS, END, PAD, "<|system|>", "<|user|>", "<|assistant|>")
SMALLEST_VOCABULARY = 256 + len(SPECIAL_TOKENS)

TOKENIZER_FILE, TOKENIZER_CONFIG_FILE, CHAT_TEMPLATE_FILE = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")
# Raise it when the same template and messages give other ids or another mask than before.
CHAT_RENDERING = 2


def default_chat_template() -> str:
    """Our own chat template, with {% generation %} marks."""
    return (Path(__file__).parent / CHAT_TEMPLATE_FILE).read_text(encoding="utf-8")


class Tokenizer:
    """A tokenizer with its special tokens and its chat template. Do not change one after it was made."""

    def __init__(
        self, backend: Backend, *, special_tokens: Mapping[str, str | None], chat_template: str | None = None
    ) -> None:
        """special_tokens: bos_token, eos_token, pad_token, unk_token -> the token's text (or None)."""
        backend.no_truncation()  # a truncation saved by somebody's training run would silently cut documents
        backend.no_padding()
        self.special_tokens = {name: token for name, token in special_tokens.items() if token}
        self.chat_template = chat_template
        for name, token in self.special_tokens.items():
            if backend.token_to_id(token) is None:
                raise BadConfig(f"tokenizer.{name}", token, "a token of the vocabulary")
        _mark_special(backend, [AddedToken(token, special=True) for token in self.special_tokens.values()])
        canonical = json.dumps(json.loads(backend.to_str()), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        self.digest = hashlib.sha256(canonical.encode()).hexdigest()
        self.all_special = sorted(
            (t.content for t in backend.get_added_tokens_decoder().values() if t.special), key=len
        )
        self.all_special.reverse()  # longest first, for matching
        self.vocab_size = max(backend.get_vocab(with_added_tokens=True).values()) + 1
        self._templated = backend  # finds special tokens in the text of a rendered template
        self._backend = Backend.from_str(backend.to_str())  # takes all text as ordinary
        self._backend.encode_special_tokens = True

    # Making one

    @classmethod
    def train_bpe(
        cls, texts: Iterable[str], vocab_size: int, *, min_frequency: int = 2, show_progress: bool = False
    ) -> Self:
        """Train a byte-level BPE; the same texts in the same order give the same tokenizer, on any number of threads.

        Digits are single tokens, so that numbers of equal length look alike (as in Llama; arithmetic needs it).
        The vocabulary comes out smaller than asked for when the texts do not hold enough pairs.
        Raises BadConfig for a vocabulary below 256 bytes and the special tokens, BadSource without any text.
        """
        if vocab_size < SMALLEST_VOCABULARY:
            raise BadConfig("tokenizer.vocab_size", vocab_size, f"at least {SMALLEST_VOCABULARY}")
        seen = 0

        def counted() -> Iterable[str]:
            nonlocal seen
            for text in texts:
                seen += len(text)
                yield text

        backend = Backend(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=True),
            ]
        )
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=min_frequency,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=show_progress,
        )
        backend.train_from_iterator(counted(), trainer)
        if not seen:
            raise BadSource("tokenizer.train", "no text", "at least one character of training text")
        backend.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(
                    single=f"{BOS} $A", special_tokens=[(BOS, backend.token_to_id(BOS))], pair=f"{BOS} $A $B"
                ),
            ]
        )
        special = {"bos_token": BOS, "eos_token": END, "pad_token": PAD}
        return cls(backend, special_tokens=special, chat_template=default_chat_template())

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """The tokenizer of a model folder in Hugging Face's layout. Raises BadCheckpoint when it cannot be read."""
        folder = Path(folder)
        path = folder / TOKENIZER_FILE
        if not path.is_file():
            found = ", ".join(sorted(p.name for p in folder.glob("*token*"))) or "no tokenizer file"
            raise BadCheckpoint(str(path), found, "a tokenizer.json (convert others with transformers first)")
        try:
            backend = Backend.from_file(str(path))
        except Exception as error:
            raise BadCheckpoint(str(path), str(error), "a tokenizer.json of the tokenizers library") from error
        config = _read_json(folder / TOKENIZER_CONFIG_FILE)
        names = _read_json(folder / "special_tokens_map.json") | config
        where = str(folder / TOKENIZER_CONFIG_FILE)
        special = {name: _text_of(names.get(name), f"{where}: {name}") for name in NAMED_TOKENS}
        _mark_special(backend, _further_special(names, where))
        return cls(backend, special_tokens=special, chat_template=_chat_template(folder, config))

    def save(self, folder: Path | str) -> None:
        """Write tokenizer.json, tokenizer_config.json and chat_template.jinja, as AutoTokenizer reads them."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            # The class that takes tokenizer.json as it is; named ones (LlamaTokenizer) build parts of it anew.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            **self.special_tokens,
        }
        (folder / TOKENIZER_FILE).write_text(self._templated.to_str(pretty=True), encoding="utf-8")
        (folder / TOKENIZER_CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        if self.chat_template is not None:
            (folder / CHAT_TEMPLATE_FILE).write_text(self.chat_template, encoding="utf-8")

    # Using one

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides ids, masks and rendering: tokenizer.json with its special tokens, which of
        them is BOS, EOS and so on, and the chat template. `digest` is of the first alone, which decides the ids of
        plain text."""
        content = [CHAT_RENDERING, self.digest, sorted(self.special_tokens.items()), self.chat_template]
        return hashlib.sha256(json.dumps(content, ensure_ascii=True).encode()).hexdigest()

    def token_id(self, token: str) -> int | None:
        """Id of a token by its text, or None."""
        return self._backend.token_to_id(token)

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

    def encode_batch(self, texts: Sequence[str], *, add_special_tokens: bool = True) -> list[list[int]]:
        """Token ids of several documents, on all cores. Raises BadSource for text that is not valid Unicode."""
        try:
            found = self._backend.encode_batch_fast(list(texts), add_special_tokens=add_special_tokens)
        except (UnicodeEncodeError, TypeError) as error:
            raise BadSource("text", str(error), "valid Unicode text (no lone surrogates)") from error
        return [encoding.ids for encoding in found]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids."""
        return self._backend.decode(list(ids), skip_special_tokens=skip_special_tokens)

    def decode_stream(self, prompt_ids: Sequence[int]) -> Callable[[int], str | None]:
        """A function that takes one new token id at a time and returns the text that it completes: None while the bytes
        of a character are still missing. The prompt comes first so that spaces between the two are right."""
        stream = decoders.DecodeStream(ids=list(prompt_ids), skip_special_tokens=True)
        return lambda token_id: stream.step(self._backend, token_id)

    def encode_chat(self, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
        """(ids, mask) of a conversation; mask is 1 for tokens that the assistant says, its end-of-turn included.

        The mask belongs to the token itself: as a *target* it bears loss when its mask is 1.
        Raises BadConfig without a chat template, BadSource for a conversation without an assistant turn.
        """
        chat = self._render(messages, spans=True)
        ids, offsets = self._encode_rendered(chat)
        mask = [0] * len(ids)
        for start, end in chat.spans:
            inside = [n for n, (a, b) in enumerate(offsets) if a < end and (b > start or (a == b and a >= start))]
            if inside:
                mask[inside[0] : inside[-1] + 1] = [1] * (inside[-1] + 1 - inside[0])
        if not any(mask):
            raise BadSource("messages", "assistant turns without a token", "an assistant turn with content")
        return ids, mask

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation up to where the assistant is to answer."""
        return self._encode_rendered(self._render(messages, spans=False))[0]

    def marks_assistant(self) -> bool:
        """Whether the chat template marks the assistant's words itself."""
        return self.chat_template is not None and has_generation_marks(self.chat_template)

    def _render(self, messages: Sequence[Message], *, spans: bool) -> RenderedChat:
        if self.chat_template is None:
            raise BadConfig("tokenizer.chat_template", "none", "a tokenizer with a chat template, for conversations")
        return render_chat(
            self.chat_template,
            messages,
            self.special_tokens,
            all_special=self.all_special,
            add_generation_prompt=not spans,
            spans=spans,
        )

    def _encode_rendered(self, chat: RenderedChat) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and character ranges. Without guards the text is taken whole, exactly as transformers does it; with them,
        the template's special tokens are taken out first and all between is encoded as ordinary text."""
        if not chat.guards:
            encoding = self._templated.encode(chat.text, add_special_tokens=False)
            return encoding.ids, encoding.offsets
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        place = 0
        unguard = str.maketrans(dict(chat.guards))
        for piece in re.split("(" + "|".join(map(re.escape, self.all_special)) + ")", chat.text):
            special_id = self._backend.token_to_id(piece) if piece in self.all_special else None
            if special_id is not None:
                ids.append(special_id)
                offsets.append((place, place + len(piece)))
            elif piece:
                encoding = self._backend.encode(piece.translate(unguard), add_special_tokens=False)
                ids += encoding.ids
                offsets += [(a + place, b + place) for a, b in encoding.offsets]
            place += len(piece)
        return ids, offsets

    def _special_id(self, name: str) -> int | None:
        token = self.special_tokens.get(name)
        return self._backend.token_to_id(token) if token is not None else None


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadCheckpoint(str(path), str(error), "valid JSON") from error
    if not isinstance(value, dict):
        raise BadCheckpoint(str(path), type(value).__name__, "a JSON object")
    return value


def _text_of(token: Any, where: str) -> str | None:
    """A special token is written as text or as an object with `content`."""
    text = token.get("content") if isinstance(token, dict) else token
    if text is not None and not isinstance(text, str):
        raise BadCheckpoint(where, repr(token)[:80], "a token's text, an object with its content, or null")
    return text


def _further_special(names: Mapping[str, Any], where: str) -> list[AddedToken]:
    """Special tokens that only tokenizer_config.json knows: transformers adds them to those of tokenizer.json."""
    found: list[AddedToken] = []
    listed = names.get("added_tokens_decoder") or {}
    if not isinstance(listed, dict) or not all(isinstance(entry, dict) for entry in listed.values()):
        raise BadCheckpoint(f"{where}: added_tokens_decoder", repr(listed)[:80], "an object of tokens by id")
    for entry in listed.values():
        text = _text_of(entry, f"{where}: added_tokens_decoder")
        if text and entry.get("special") is True:
            flags = ("lstrip", "rstrip", "normalized", "single_word")
            found.append(AddedToken(text, special=True, **{name: entry.get(name) is True for name in flags}))
    for key in ("additional_special_tokens", "extra_special_tokens"):
        further = names.get(key) or []
        for token in further.values() if isinstance(further, dict) else further:
            text = _text_of(token, f"{where}: {key}")
            if text:
                found.append(AddedToken(text, special=True))
    return found


def _mark_special(backend: Backend, tokens: Sequence[AddedToken]) -> None:
    """Adds those that are not special tokens yet; a token of the vocabulary keeps its id."""
    known = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    backend.add_special_tokens([token for token in tokens if token.content not in known])


def _chat_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    path = folder / CHAT_TEMPLATE_FILE
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):  # several, by name
        named = {entry["name"]: entry["template"] for entry in template}
        return named.get("default")
    return template
