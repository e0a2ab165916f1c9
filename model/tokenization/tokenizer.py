"""Text to token ids and back, by the `tokenizers` library: a byte-level BPE that we train, or one taken from a model.

Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) starts from single bytes and again and again joins the
commonest pair, until the vocabulary is full; starting from bytes (GPT-2, Radford et al. 2019), no text is unknown.

Text is data: `<|end|>` inside a document or a message is five ordinary pieces of text, never the special token. Special
tokens come only from the post-processor (`<|bos|>` in front of each document) and from the chat template.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from model.document import Document
from model.errors import BadCheckpoint, BadConfig, BadSource
from model.json_file import read_json_object
from model.tokenization.chat_template import (
    ChatFormat,
    Message,
    RenderedChat,
    free_window,
    has_a_name,
    render_chat,
    render_example,
)
from model.tokenization.long_words import ShortWords

BOS, END, PAD = "<|bos|>", "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (BOS, END, PAD, "<|system|>", "<|user|>", "<|assistant|>")
SMALLEST_VOCABULARY = 256 + len(SPECIAL_TOKENS)

TOKENIZER_FILE, TOKENIZER_CONFIG_FILE, CHAT_TEMPLATE_FILE = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
TOOL_TEMPLATE_FILE = "additional_chat_templates/tool_use.jinja"
NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")
MOST_SPECIAL = 0x1800
STAND_INS = 0x800  # place in a window of private characters, behind those of `model.chat`
# Raise it when the same template and messages give other ids or another mask than before.
CHAT_RENDERING = 2


def default_chat_template() -> str:
    """Our own chat template, with {% generation %} marks."""
    return (Path(__file__).parent / CHAT_TEMPLATE_FILE).read_text(encoding="utf-8")


def default_chat_format() -> ChatFormat:
    """How the models of a preset read conversations, whatever their tokenizer was trained on."""
    return ChatFormat(
        template=default_chat_template(),
        special_tokens={"bos_token": BOS, "eos_token": END, "pad_token": PAD},
        all_special=sorted(SPECIAL_TOKENS, key=len, reverse=True),
    )


def check_vocabulary(vocab_size: int) -> None:
    """Raises BadConfig for a vocabulary that does not hold every byte and the special tokens."""
    if vocab_size < SMALLEST_VOCABULARY:
        raise BadConfig("tokenizer.vocab_size", vocab_size, f"at least {SMALLEST_VOCABULARY}")


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
        _mark_special(backend, [AddedToken(token, special=True) for token in self.special_tokens.values()])
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
        self._backend = _text_only(backend)  # takes all text as ordinary
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
        check_vocabulary(vocab_size)
        words = texts if isinstance(texts, ShortWords) else ShortWords(texts)
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
        backend.train_from_iterator(iter(words), trainer)
        if not words.characters:
            raise BadSource("tokenizer.train", "no text", "at least one character of training text")
        backend.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(
                    single=f"{BOS} $A", special_tokens=[(BOS, backend.token_to_id(BOS))], pair=f"{BOS} $A $B"
                ),
            ]
        )
        return cls.of_preset(backend)

    @classmethod
    def of_preset(cls, backend: Backend) -> Self:
        """The tokenizer of what `train_bpe` trains: our special tokens, our chat template."""
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
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise BadCheckpoint(str(path), str(error)[:200], "a tokenizer.json of the tokenizers library") from error
        config = _read_json(folder / TOKENIZER_CONFIG_FILE)
        names = _read_json(folder / "special_tokens_map.json") | config
        where = str(folder / TOKENIZER_CONFIG_FILE)
        special = {name: _text_of(names.get(name), f"{where}: {name}") for name in NAMED_TOKENS}
        _mark_special(backend, _further_special(names, where))
        template, tool_template, place = _chat_templates(folder, config)
        return cls(
            backend,
            special_tokens=special,
            chat_template=template,
            tool_template=tool_template,
            template_place=place,
        )

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
        if self.tool_template is not None:
            (folder / TOOL_TEMPLATE_FILE).parent.mkdir(exist_ok=True)
            (folder / TOOL_TEMPLATE_FILE).write_text(self.tool_template, encoding="utf-8")

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
        """Token ids of a text that goes on: with what the post-processor puts in front of a document, without what it
        puts behind."""
        inner = self.encode(text, add_special_tokens=False)
        probe = "a" if not inner else text
        alone, whole = self.encode(probe, add_special_tokens=False), self.encode(probe)
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

        The mask belongs to the token itself: as a *target* it bears loss when its mask is 1. Raises BadConfig without a
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
            self._guarded[window] = _text_only(self._templated, stand_in)
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


def _read_json(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}


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


def _text_only(backend: Backend, stand_ins: Mapping[str, str] | None = None) -> Backend:
    """The same backend, same ids, for which no text spells a special token: the special tokens are spelled otherwise,
    among the added tokens as well as in the model's vocabulary, where Unigram, word models and some merges would find
    them. stand_ins: their new spellings, which are then looked for; by default spellings that nobody can guess."""
    raw = json.loads(backend.to_str())
    special = {token["content"] for token in raw["added_tokens"] if token["special"] and has_a_name(token["content"])}
    unguessable = secrets.token_hex(16)
    new = {token: f"{token}{unguessable}" for token in special} if stand_ins is None else stand_ins
    for token in raw["added_tokens"]:
        if token["content"] in special:
            token["content"] = new[token["content"]]
            token["special"] = stand_ins is None
    model = raw["model"]
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):  # Unigram: pairs of a word and its score
        model["vocab"] = [[new.get(word, word), score] for word, score in vocabulary]
    else:
        model["vocab"] = {new.get(word, word): place for word, place in vocabulary.items()}
    if model.get("unk_token") in new:
        model["unk_token"] = new[model["unk_token"]]
    if model.get("merges"):
        pairs = ((pair, pair.split(" ", 1) if isinstance(pair, str) else pair) for pair in model["merges"])
        model["merges"] = [pair for pair, (a, b) in pairs if not special & {a, b, a + b}]
    made = Backend.from_str(json.dumps(raw))
    made.encode_special_tokens = True
    return made


def _chat_templates(folder: Path, config: Mapping[str, Any]) -> tuple[str | None, str | None, str]:
    """(chat template, the one for tools where there is another, where they are)."""
    path, for_tools = folder / CHAT_TEMPLATE_FILE, folder / TOOL_TEMPLATE_FILE
    if not for_tools.is_file():  # an uploaded folder is flat
        for_tools = folder / TOOL_TEMPLATE_FILE.replace("/", "__")
    where = f"{folder / TOKENIZER_CONFIG_FILE}: chat_template"
    given = config.get("chat_template")
    named: dict[str, Any] = {"default": given}
    if isinstance(given, list):  # several, by name
        if not all(isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in given):
            raise BadCheckpoint(where, repr(given)[:80], "a template, or a list of {name, template}")
        named = {entry["name"]: entry.get("template") for entry in given}
    for name, file in (("default", path), ("tool_use", for_tools)):
        if file.is_file():
            try:
                named[name] = file.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise BadCheckpoint(str(file), str(error), "UTF-8 text") from error
    for template in named.values():
        if template is not None and not isinstance(template, str):
            raise BadCheckpoint(where, repr(template)[:80], "a template, or a list of {name, template}")
    return named.get("default"), named.get("tool_use"), str(path) if path.is_file() else where
