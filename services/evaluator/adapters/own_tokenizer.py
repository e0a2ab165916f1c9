"""The tokenizer of the model that a spec builds on, brought onto this machine: its few files, and none of the weights.

They are only copied here: whoever opens them does so in a bounded child (`ApartTokenizer.opened`), since they may come
from anybody.
"""

import shutil
from pathlib import Path

from model.tokenization.tokenizer_files import (
    CHAT_TEMPLATE_FILE,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
    TOOL_TEMPLATE_FILE,
)
from retain.values import ModelSpec
from services.common.places import local_path
from services.common.store.object_store import ObjectStore, parse_s3_uri

NAMES = (
    TOKENIZER_FILE,
    TOKENIZER_CONFIG_FILE,
    "special_tokens_map.json",
    CHAT_TEMPLATE_FILE,
    TOOL_TEMPLATE_FILE,
    TOOL_TEMPLATE_FILE.replace("/", "__"),  # an uploaded folder is flat
)
MOST_BYTES = 64_000_000  # of all of them; a vocabulary of a quarter of a million takes about 30 MB


def place_of_model(model: ModelSpec) -> str:
    """Where the files of the model lie: a folder or an s3:// prefix; empty for random weights."""
    return f"{model.checkpoint.rstrip('/')}/model" if model.checkpoint else (model.huggingface or "")


def bring_tokenizer(store: ObjectStore, place: str, folder: Path) -> str | None:
    """Its files in `folder`; or why they are not there. Raises Unavailable."""
    local = local_path(place)
    if local is not None:
        sizes = {name: (local / name).stat().st_size for name in NAMES if (local / name).is_file()}
    else:
        bucket, key = parse_s3_uri(place)
        if bucket != store.bucket:
            return "its files lie in another store"
        found = {name: store.stat(f"{key.rstrip('/')}/{name}") for name in NAMES}
        sizes = {name: one.size_bytes for name, one in found.items() if one is not None}
    if TOKENIZER_FILE not in sizes:
        return f"no {TOKENIZER_FILE} was found there from here"
    if sum(sizes.values()) > MOST_BYTES:
        return f"its files have {sum(sizes.values()):,} bytes, more than the {MOST_BYTES:,} that are read for a preview"
    for name in sizes:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if local is not None:
            shutil.copyfile(local / name, target)
        else:
            store.get_file(f"{key.rstrip('/')}/{name}", target)
    return None
