"""A checkpoint as a folder of plain files: what a stage resumes from, bit for bit.

    model/               config.json, tokenizer.json, model*.safetensors: opens with transformers as it is; and
                         held_out.json: contents that whoever resumes from here must not train on
                         (model/data/held_out.py)
    optimizer/           AdamW's state, by `{weight}.{moment}`, in safetensors shards
    trainer_state.json   step, tokens, RNG, a cursor per source, mix, LR scale, curriculum state
    manifest.json        written last: name, size and SHA-256 of each file; parent's manifest; spec digest

A folder without a manifest is not a checkpoint: whoever writes one may die at any byte. Reading checks every file
against the manifest and the manifest against the digest that the caller got from elsewhere (the orchestrator's
database), so that whoever can write to the bucket still cannot pass off another checkpoint. Nothing is ever unpickled.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.checkpointing import hf
from model.checkpointing.safetensors_writer import PIECE_BYTES, save_file
from model.data.held_out import HeldOut
from model.errors import BadCheckpoint
from model.nn.causal_lm import CausalLM
from model.tokenization.tokenizer import Tokenizer

MANIFEST, STATE = "manifest.json", "trainer_state.json"
MODEL_FOLDER, OPTIMIZER_FOLDER = "model", "optimizer"
FORMAT = 1
MAX_SHARD_BYTES = 2_000_000_000


@dataclass(frozen=True, kw_only=True)
class TrainerState:
    """Everything about a stage that is not a tensor, as it was *before* the directive of its boundary.

    tokens: positions trained so far, replay included. stream: the state of the batch stream (a cursor per source, mix,
    curriculum), from which the next batch follows. rng: torch's generator state, base64.

    interim: taken between two boundaries. Then `shares` and `lr_scale` are what the directive of the last boundary
    made of them, `interval_nats` and `interval_targets` are the sums since it: what the next boundary tells is what
    it would have told without the interruption.
    """

    step: int
    tokens: int
    stream: Mapping[str, Any]
    shares: Mapping[str, float]
    lr_scale: float
    rng: str
    world_size: int = 1
    format: int = FORMAT
    interim: bool = False
    interval_nats: float = 0.0
    interval_targets: int = 0

    def to_json(self) -> str:
        """As written to trainer_state.json. Python writes floats so that they read back bit for bit."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "TrainerState":
        """The inverse. Raises BadCheckpoint for another format or a missing field."""
        try:
            raw = json.loads(text)
            if raw.get("format") != FORMAT:
                raise BadCheckpoint(f"{STATE}: format", raw.get("format"), FORMAT)
            given = {f.name: raw[f.name] for f in fields(cls) if f.default is MISSING or f.name in raw}
            return cls(**given)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, BadCheckpoint):
                raise
            raise BadCheckpoint(STATE, repr(error), f"JSON with {', '.join(f.name for f in fields(cls))}") from error


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """Size and SHA-256 (hex) of one file."""

    size: int
    sha256: str


Sampled = Sequence[Mapping[str, Any]]  # what SampledText of the wire says, as plain data


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is in a checkpoint. `sha256` is that of manifest.json itself, the checkpoint's name in the lineage.

    `sampled`: text that a model wrote and this one was trained on, each with its digest, the digest of the weights that
    wrote it, and the settings; in the file only where there is some.
    """

    files: Mapping[str, FileEntry]
    weights_digest: str
    parent: str = ""
    spec_digest: str = ""
    step: int = 0
    tokens: int = 0
    sampled: Sampled = ()
    sha256: str = field(default="", compare=False)

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(entry.size for entry in self.files.values())

    def to_bytes(self) -> bytes:
        """As written to manifest.json; equal content has equal bytes."""
        body = {key: value for key, value in asdict(self).items() if key != "sha256"} | {"format": FORMAT}
        if not self.sampled:
            del body["sampled"]
        return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, expected_sha256: str | None = None) -> "Manifest":
        """Read one. Raises BadCheckpoint when it is not the expected one, or names a file outside of its folder."""
        found = hashlib.sha256(data).hexdigest()
        if expected_sha256 is not None and found != expected_sha256:
            raise BadCheckpoint(f"{MANIFEST}: sha256", found, expected_sha256)
        try:
            raw = json.loads(data)
            if raw.pop("format") != FORMAT:
                raise BadCheckpoint(f"{MANIFEST}: format", "another", FORMAT)
            raw["sampled"] = tuple(raw.get("sampled", ()))
            raw["files"] = {name: FileEntry(**entry) for name, entry in raw["files"].items()}
            manifest = cls(**{**raw, "sha256": found})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, BadCheckpoint):
                raise
            raise BadCheckpoint(MANIFEST, repr(error), "a manifest of this format") from error
        for name in manifest.files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name:
                raise BadCheckpoint(f"{MANIFEST}: {name}", "a path that leaves the folder", "names inside the folder")
            if path.suffix.lower() in hf.PICKLE_SUFFIXES:
                raise BadCheckpoint(f"{MANIFEST}: {name}", "a pickle file (it could run code)", "safetensors only")
        return manifest


def write(
    folder: Path,
    *,
    model: CausalLM,
    tokenizer: Tokenizer | None,
    optimizer: Mapping[str, Tensor],
    state: TrainerState,
    parent: str = "",
    spec_digest: str = "",
    held_out: HeldOut | None = None,
    sampled: Sampled = (),
    beat: Callable[[], None] = lambda: None,
) -> Manifest:
    """Write a checkpoint, the manifest last. The folder must not hold one yet. `held_out`: what whoever resumes from it
    must not train on. `beat` is called for every few megabytes written or read back. Raises OSError when the disk is
    full."""
    if (folder / MANIFEST).exists():
        raise BadCheckpoint(str(folder), "a folder that holds a checkpoint already", "an empty folder")
    hf.save_pretrained(model, folder / MODEL_FOLDER, tokenizer, beat=beat)
    (held_out or HeldOut()).write(folder / MODEL_FOLDER)
    save_tensors(folder / OPTIMIZER_FOLDER, optimizer, beat=beat)
    (folder / STATE).write_text(state.to_json(), encoding="utf-8")
    manifest = Manifest(
        files=_entries(folder, beat),
        weights_digest=hf.model_digest(model, beat=beat),
        parent=parent,
        spec_digest=spec_digest,
        step=state.step,
        tokens=state.tokens,
        sampled=sampled,
    )
    return _seal(folder, manifest)


def write_imported(
    folder: Path,
    *,
    model: CausalLM,
    tokenizer: Tokenizer | None,
    parent: str = "",
    spec_digest: str = "",
    step: int = 0,
    tokens: int = 0,
    held_out: HeldOut | None = None,
    sampled: Sampled = (),
    beat: Callable[[], None] = lambda: None,
) -> Manifest:
    """Weights that were not trained here, as a checkpoint of their own: no optimizer, no trainer state. An imported
    model has no parent; a point of the line between two checkpoints has its result's."""
    hf.save_pretrained(model, folder / MODEL_FOLDER, tokenizer, beat=beat)
    (held_out or HeldOut()).write(folder / MODEL_FOLDER)
    manifest = Manifest(
        files=_entries(folder, beat),
        weights_digest=hf.model_digest(model, beat=beat),
        parent=parent,
        spec_digest=spec_digest,
        step=step,
        tokens=tokens,
        sampled=sampled,
    )
    return _seal(folder, manifest)


def verify(folder: Path, expected_sha256: str | None = None, *, beat: Callable[[], None] = lambda: None) -> Manifest:
    """Check a whole folder: manifest, then size and SHA-256 of every file. Raises BadCheckpoint naming the first
    fault. `beat` is called for every few megabytes read."""
    path = folder / MANIFEST
    if not path.is_file():
        raise BadCheckpoint(str(path), "no manifest", "a checkpoint, which has one")
    manifest = Manifest.from_bytes(path.read_bytes(), expected_sha256=expected_sha256)
    for name, entry in manifest.files.items():
        check_file(folder / name, entry, beat=beat)
    return manifest


def fetch(
    download: Callable[[str, Path], None],
    folder: Path,
    expected_sha256: str,
    *,
    only: str | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Manifest:
    """Bring a checkpoint into a folder: the manifest first, then every file it names, each verified on arrival.

    download(name, path) gets one file of the checkpoint; only="model/" leaves the rest away. Files that are there
    already and fit are not fetched again. The manifest is put into the folder last, and only when it is complete.
    `beat` is called for every few megabytes read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arriving = folder / f".{MANIFEST}"
    download(MANIFEST, arriving)
    manifest = Manifest.from_bytes(arriving.read_bytes(), expected_sha256=expected_sha256)
    for name, entry in manifest.files.items():
        if only is not None and not name.startswith(only):
            continue
        path = folder / name
        if not (path.is_file() and path.stat().st_size == entry.size and file_sha256(path, beat=beat) == entry.sha256):
            path.parent.mkdir(parents=True, exist_ok=True)
            download(name, path)
            check_file(path, entry, beat=beat)
    if only is None:
        arriving.replace(folder / MANIFEST)
    else:
        arriving.unlink()
    return manifest


def check_file(path: Path, entry: FileEntry, *, beat: Callable[[], None] = lambda: None) -> None:
    """Raise BadCheckpoint unless the file has the size and the SHA-256 of its entry."""
    if not path.is_file():
        raise BadCheckpoint(str(path), "no such file", "the files of the manifest")
    size = path.stat().st_size
    if size != entry.size:
        raise BadCheckpoint(f"{path}: size", size, entry.size)
    found = file_sha256(path, beat=beat)
    if found != entry.sha256:
        raise BadCheckpoint(f"{path}: sha256", found, entry.sha256)


def load_state(folder: Path) -> TrainerState:
    """trainer_state.json of a verified folder. Raises BadCheckpoint."""
    path = folder / STATE
    if not path.is_file():
        raise BadCheckpoint(str(path), "no trainer state (an imported model has none)", "a checkpoint of a stage")
    return TrainerState.from_json(path.read_text(encoding="utf-8"))


def save_tensors(
    folder: Path,
    tensors: Mapping[str, Tensor],
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Write named tensors as safetensors shards (`00001.safetensors`, ...), sorted by name. None gives no file."""
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, Tensor]] = []
    room = 0
    for name, tensor in sorted(tensors.items()):
        if not shards or tensor.nbytes > room:
            shards.append({})
            room = max_shard_bytes
        shards[-1][name] = tensor.contiguous()
        room -= tensor.nbytes
    for number, shard in enumerate(shards, start=1):
        save_file(shard, folder / f"{number:05d}.safetensors", beat=beat)


def load_tensors(folder: Path, *, beat: Callable[[], None] = lambda: None) -> dict[str, Tensor]:
    """All tensors of the shards in a folder; `beat` is called after each. Raises BadCheckpoint for a broken file.

    By name, each of the shape that was written.
    """
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  (not a dict)
                    found[name] = file.get_tensor(name)
                    beat()
        except (SafetensorError, OSError) as error:
            raise BadCheckpoint(str(path), str(error), "a whole safetensors file") from error
    return found


def load_optimizer(folder: Path, *, beat: Callable[[], None] = lambda: None) -> dict[str, Tensor]:
    """The optimizer's state of a checkpoint folder. By name, each of its weight's shape."""
    return load_tensors(folder / OPTIMIZER_FOLDER, beat=beat)


def rng_now() -> str:
    """State of torch's generator, as text."""
    return base64.b64encode(torch.get_rng_state().numpy().tobytes()).decode()


def set_rng(state: str) -> None:
    """Put torch's generator back."""
    torch.set_rng_state(torch.frombuffer(bytearray(base64.b64decode(state)), dtype=torch.uint8))


def file_sha256(path: Path, *, beat: Callable[[], None] = lambda: None) -> str:
    """SHA-256 (hex) of a file, read in pieces; `beat` is called after each."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            beat()
    return digest.hexdigest()


def _entries(folder: Path, beat: Callable[[], None]) -> dict[str, FileEntry]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): FileEntry(size=path.stat().st_size, sha256=file_sha256(path, beat=beat))
        for path in paths
    }


def _seal(folder: Path, manifest: Manifest) -> Manifest:
    data = manifest.to_bytes()
    partial = folder / f".{MANIFEST}"
    partial.write_bytes(data)
    partial.replace(folder / MANIFEST)
    return Manifest.from_bytes(data)
