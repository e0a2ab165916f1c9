"""Reads the config.json of a model that a spec names: from the store, or from a folder that this machine sees."""

import json
from typing import Any

from services.common.errors import RetainError
from services.common.places import is_private, local_path
from services.common.store.object_store import ObjectStore, key_of
from services.orchestrator.application.ports import BaseReader
from services.orchestrator.domain.spec.families.sizes import sizes_of_model
from services.orchestrator.domain.spec.huggingface import context_of
from services.orchestrator.domain.spec.model_size import Sizes

LARGEST_CONFIG_BYTES = 1_000_000


class ConfigReader(BaseReader):
    """Config files are data here; nothing in them is run."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def context_of(self, uri: str) -> int | None:
        return context_of(self._config(uri))  # without one validation asks for model.context and says why

    def sizes_of(self, uri: str) -> Sizes | None:
        return sizes_of_model(self._config(uri))

    def _config(self, uri: str) -> Any:
        try:
            text = self._text(uri)
            return None if text is None else json.loads(text)
        except (RetainError, OSError, ValueError, RecursionError):
            return None

    def _text(self, uri: str) -> Any:
        if uri.startswith("s3://"):
            key = f"{key_of(self._store, uri)}/config.json"
            info = self._store.stat(key)
            return self._store.get_bytes(key) if info and info.size_bytes <= LARGEST_CONFIG_BYTES else None
        folder = local_path(uri)
        if folder is None or is_private(folder.resolve()):
            return None
        path = folder / "config.json"
        return path.read_text() if path.is_file() and path.stat().st_size <= LARGEST_CONFIG_BYTES else None
