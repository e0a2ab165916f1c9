"""A model folder in the Hugging Face layout as the client handles it: which files count, and where an export goes."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from ui.client.errors import BadInput, Violation
from ui.client.views import CheckpointRef, Export
from ui.transfer import get_file

# Pickled weights (.bin, .pt) are never sent and never opened.
_SUFFIXES = {".json", ".safetensors", ".jinja", ".txt", ".model"}
_TEMPLATES = "additional_chat_templates"
_MODEL_PREFIX = "model/"
_ARRIVING = ".arriving"  # holds an export until it is whole


class ExportPort(Protocol):
    """The one call of the client that an export needs."""

    def export_checkpoint(self, checkpoint_id: str, *, with_training_state: bool = False) -> Export: ...


def model_files(folder: Path) -> list[Path]:
    """The files of a model folder that are uploaded. What is missing is named."""
    if not folder.is_dir():
        raise BadInput(
            [Violation(field=str(folder), description="is not a folder; a Hugging Face model folder is allowed")]
        )
    files = sorted(entry for entry in folder.iterdir() if entry.is_file() and entry.suffix in _SUFFIXES)
    names = {entry.name for entry in files}
    faults = [
        Violation(field=f"{folder}/{name}", description="is missing; a Hugging Face folder holds it")
        for name in ("config.json", "tokenizer.json")
        if name not in names
    ]
    if not any(name.endswith(".safetensors") for name in names):
        there = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
        faults.append(
            Violation(
                field=f"{folder}/*.safetensors",
                description=f"is missing, there is {there}; weights in safetensors are allowed",
            )
        )
    if faults:
        raise BadInput(faults)
    return files


def upload_names(folder: Path) -> dict[str, Path]:
    """What is uploaded of a model folder, by the names that it gets there. A stored folder is flat: further chat
    templates, which lie in a folder of their own, have its name in front of theirs."""
    names = {entry.name: entry for entry in model_files(folder)}
    further = sorted(entry for entry in (folder / _TEMPLATES).glob("*.jinja") if entry.is_file())
    return names | {f"{_TEMPLATES}__{entry.name}": entry for entry in further}


def write_export(
    client: ExportPort,
    checkpoint_id: str,
    folder: Path,
    *,
    with_training_state: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Export, Path]:
    """Downloads a checkpoint and verifies every file; returns what was exported and the model's folder.

    The folder itself becomes the Hugging Face model. With the training state the model stands in `checkpoint-{step}`
    below it, beside `trainer_state.json` and the optimizer, as the Hugging Face Trainer lays it out. The files appear
    there all at once or not at all; what an interrupted export left is written anew.
    """
    if folder.exists() and (not folder.is_dir() or any(entry.name != _ARRIVING for entry in folder.iterdir())):
        raise BadInput(
            [Violation(field="DIR", description=f"{folder} is there and not empty; a new or empty folder is allowed")]
        )
    export = client.export_checkpoint(checkpoint_id, with_training_state=with_training_state)
    target = folder / f"checkpoint-{export.checkpoint.ref.step}" if with_training_state else folder
    fresh = folder / _ARRIVING
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        for file in export.files:
            place = (fresh / file.path.removeprefix(_MODEL_PREFIX)).resolve()
            if not place.is_relative_to(fresh.resolve()):
                said = "points out of the folder; a path below the checkpoint is allowed"
                raise BadInput([Violation(field=file.path, description=said)])
            say(f"downloading {file.path} ({file.bytes / 1e6:.1f} MB)")
            get_file(file.url, place, sha256=file.sha256)
        target.mkdir(exist_ok=True)
        for entry in sorted(fresh.iterdir()):
            entry.rename(target / entry.name)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return export, target


def cached_model(
    client: ExportPort, reference: CheckpointRef, cache: Path, *, say: Callable[[str], None] = lambda _: None
) -> Path:
    """The checkpoint's model folder in the cache, downloaded on first use. Its name is the manifest's digest."""
    folder = cache / reference.manifest_sha256
    if folder.exists():
        return folder
    fresh = (
        cache / f".{reference.manifest_sha256}.{os.getpid()}.{uuid4().hex[:8]}"
    )  # nobody else's, also not a thread's
    try:
        write_export(client, reference.uri, fresh, say=say)
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():  # where another command was faster, its copy has the same hashes
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder
