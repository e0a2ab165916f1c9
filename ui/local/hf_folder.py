"""A model folder in the Hugging Face layout as it is sent: which files count. `ui.local.export` writes one."""

from pathlib import Path

from retain.values.faults import mismatch
from ui.client.errors import BadInput, Violation

# Pickled weights (.bin, .pt) are never sent and never opened.
_SUFFIXES = {".json", ".safetensors", ".jinja", ".txt", ".model"}
_TEMPLATES = "additional_chat_templates"


def model_files(folder: Path) -> list[Path]:
    """The files of a model folder that are uploaded. What is missing is named. Raises BadInput."""
    if not folder.is_dir():
        said = mismatch("no folder", "the folder of a Hugging Face model")
        raise BadInput([Violation(field=str(folder), description=said)])
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
                description=mismatch(there, "weights in safetensors"),
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
