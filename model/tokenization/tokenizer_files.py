"""The files of a tokenizer in Hugging Face's layout: what each says, and what of it transformers would heed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from model.errors import BadCheckpoint
from model.json_file import read_json_object
from model.tokenization.special_tokens import mark_special

TOKENIZER_FILE, TOKENIZER_CONFIG_FILE, CHAT_TEMPLATE_FILE = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
TOOL_TEMPLATE_FILE = "additional_chat_templates/tool_use.jinja"
NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")


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


@dataclass(frozen=True, kw_only=True)
class TokenizerFiles:
    """What the files of a folder say. special_tokens: bos_token, eos_token ... -> the token's text (or None);
    chat_template, tool_template: the latter for conversations with tools, where it is another one; template_place:
    where they come from, for errors."""

    backend: Backend
    special_tokens: Mapping[str, str | None]
    chat_template: str | None
    tool_template: str | None
    template_place: str


def read_tokenizer(folder: Path) -> TokenizerFiles:
    """What a folder's tokenizer.json, tokenizer_config.json, special_tokens_map.json and templates say.

    Raises BadCheckpoint for what is missing or cannot be read.
    """
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
    mark_special(backend, _further_special(names, where))
    template, tool_template, place = _chat_templates(folder, config)
    return TokenizerFiles(
        backend=backend,
        special_tokens=special,
        chat_template=template,
        tool_template=tool_template,
        template_place=place,
    )


def write_tokenizer(
    folder: Path,
    *,
    tokenizer_json: str,
    special_tokens: Mapping[str, str],
    chat_template: str | None,
    tool_template: str | None,
) -> None:
    """Write tokenizer.json, tokenizer_config.json and the templates, as AutoTokenizer reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        # The class that takes tokenizer.json as it is; named ones (LlamaTokenizer) build parts of it anew.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **special_tokens,
    }
    (folder / TOKENIZER_FILE).write_text(tokenizer_json, encoding="utf-8")
    (folder / TOKENIZER_CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if chat_template is not None:
        (folder / CHAT_TEMPLATE_FILE).write_text(chat_template, encoding="utf-8")
    if tool_template is not None:
        (folder / TOOL_TEMPLATE_FILE).parent.mkdir(exist_ok=True)
        (folder / TOOL_TEMPLATE_FILE).write_text(tool_template, encoding="utf-8")


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
