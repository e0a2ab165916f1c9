"""A checkpoint as a folder on this machine: downloaded file by file, verified, and there as a whole or not at all.

Until it is whole it lies in a staging folder beside its place, and a download that was interrupted resumes there. One
process at a time works on a place; others wait for it.
"""

import errno
import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from retain.values import Checkpoint
from retain.values.faults import mismatch
from ui.client.errors import BadInput, ClientError, Violation
from ui.client.views import CheckpointRef, Export, ExportedFile
from ui.local.download import URL_REFUSED, get_file, partial_of
from ui.local.model_card import BEGINS as OUR_CARD
from ui.local.model_card import NAME as CARD
from ui.local.transfer import sha256_of
from ui.render import formatting

try:
    import fcntl
except ImportError:  # not on Windows: there two downloads into one place are not kept apart
    fcntl = None  # type: ignore[assignment]

_MODEL_PREFIX = "model/"
_STAGING = ".arriving"
_LAST = "config.json"  # what makes a folder a model for those who read it
Say = Callable[[str], None]
Progress = Callable[[int, int], None]


class ExportPort(Protocol):
    """What of the client an export needs."""

    @property
    def tls_ca(self) -> Path | None: ...

    def export_checkpoint(self, checkpoint_id: str, *, with_training_state: bool = False) -> Export: ...


def write_export(
    client: ExportPort,
    checkpoint_id: str,
    folder: Path,
    *,
    with_training_state: bool = False,
    card: Callable[[Checkpoint], str] | None = None,
    say: Say = lambda _: None,
    progress: Progress = lambda _here, _all: None,
) -> tuple[Export, Path]:
    """Downloads a checkpoint and verifies every file; returns what was exported and the model's folder.

    The folder itself becomes the Hugging Face model. With the training state the model stands in `checkpoint-{step}`
    below it, beside `trainer_state.json` and the optimizer, as the Hugging Face Trainer lays it out. A folder that is
    made anew appears whole; into one that is there already and empty the files move at the end, `config.json` last.
    After an interruption the same call resumes with the bytes that are here. `card` makes the text of README.md, the
    model card; without one there is none. `progress` is told (bytes that are here,
    bytes in all). Raises BadInput for a folder that holds something else, and what `get_file` raises.
    """
    folder = folder.expanduser().resolve()
    if not (folder / _STAGING).is_dir():
        _must_be_free(folder)
    export = client.export_checkpoint(checkpoint_id, with_training_state=with_training_state)
    target = folder / f"checkpoint-{export.checkpoint.ref.step}" if with_training_state else folder
    names = {file.path: _name(file) for file in export.files}
    with _staging(target, say) as staging:
        fresh = staging / export.checkpoint.ref.manifest_sha256
        for other in [entry for entry in staging.iterdir() if entry != fresh]:
            shutil.rmtree(other)
        fresh.mkdir(exist_ok=True)
        _take_back(export, names, target, fresh)
        _must_be_free(target)
        with _kept(staging, say):
            _fetch(client, export, names, fresh, with_training_state=with_training_state, say=say, progress=progress)
        for entry in [entry for entry in fresh.rglob("*") if entry.is_file()]:
            if entry.relative_to(fresh).as_posix() not in names.values():  # of an export with more in it
                entry.unlink()
        if card is not None:
            (fresh / CARD).write_text(card(export.checkpoint), encoding="utf-8")
        if target.is_dir():
            for entry in sorted(fresh.iterdir(), key=lambda entry: (entry.name == _LAST, entry.name)):
                entry.rename(target / entry.name)
            fresh.rmdir()
        else:
            fresh.rename(target)
        staging.rmdir()
    return export, target


def cached_model(client: ExportPort, reference: CheckpointRef, cache: Path, *, say: Say = lambda _: None) -> Path:
    """The checkpoint's model folder in the cache, downloaded on first use. Its name is the manifest's digest."""
    folder = cache / reference.manifest_sha256
    if not folder.is_dir():
        try:
            write_export(client, reference.uri, folder, say=say)
        except BadInput:
            if not folder.is_dir():  # where another command was faster, its copy has the same hashes
                raise
    return folder


def _fetch(
    client: ExportPort,
    export: Export,
    names: Mapping[str, str],
    fresh: Path,
    *,
    with_training_state: bool,
    say: Say,
    progress: Progress,
) -> None:
    """Every file of the export, below `fresh`. A URL that has ended is asked for anew, as long as bytes come."""
    files = {file.path: file for file in export.files}
    total, done = sum(file.bytes for file in export.files), 0
    for path, name in names.items():
        place = fresh / name
        _announce(files[path], place, say)
        refused_at = -1
        told = functools.partial(_told, progress, done, total)
        while True:
            try:
                get_file(files[path], place, progress=told, ca=client.tls_ca)
                break
            except ClientError as error:
                if error.reason != URL_REFUSED or _bytes_here(place) <= refused_at:
                    raise
                refused_at = _bytes_here(place)
            anew = client.export_checkpoint(export.checkpoint.ref.uri, with_training_state=with_training_state)
            files |= {file.path: file for file in anew.files}
        done += files[path].bytes


def _told(progress: Progress, done: int, total: int, here: int) -> None:
    progress(done + here, total)


def _announce(file: ExportedFile, place: Path, say: Say) -> None:
    if not place.exists():
        there = _bytes_here(place)
        said = f", {formatting.file_size(there)} of it are here" if there else ""
        say(f"downloading {file.path} ({file.bytes / 1e6:.1f} MB{said})")


def _bytes_here(place: Path) -> int:
    """Bytes of a file that has not arrived yet."""
    partial = partial_of(place)
    return partial.stat().st_size if partial.exists() else 0


def _take_back(export: Export, names: Mapping[str, str], target: Path, fresh: Path) -> None:
    """Files that an earlier call was moving into a folder when it ended go back to the others, if they are whole."""
    for file in export.files:
        moved, place = target / names[file.path], fresh / names[file.path]
        if moved.is_file() and sha256_of(moved) == file.sha256:
            place.parent.mkdir(parents=True, exist_ok=True)
            moved.rename(place)
            if moved.parent != target and not any(moved.parent.iterdir()):
                moved.parent.rmdir()
    if (target / CARD).is_file() and (target / CARD).read_text(encoding="utf-8", errors="replace").startswith(OUR_CARD):
        (target / CARD).unlink()  # it is made anew


def _name(file: ExportedFile) -> str:
    """The file's name below the exported folder. Raises BadInput for one that points out of it."""
    name = file.path.removeprefix(_MODEL_PREFIX)
    parts = name.split("/")
    if "\\" in name or ":" in parts[0] or any(part in {"", ".", ".."} for part in parts):
        said = mismatch("a path that leads out of the folder", "one below the checkpoint")
        raise BadInput([Violation(field=file.path, description=said)])
    return name


def _must_be_free(folder: Path) -> None:
    """Raises BadInput unless the folder is new or holds nothing but what is arriving."""
    held = list(folder.iterdir()) if folder.is_dir() else []
    if any(not entry.name.endswith(_STAGING) for entry in held) or (folder.exists() and not folder.is_dir()):
        said = mismatch(f"{folder}, which is not empty", "a new or empty folder")
        raise BadInput([Violation(field="DIR", description=said)])


@contextmanager
def arriving(folder: Path, say: Say) -> Iterator[Path]:
    """A folder beside or in a new or empty one, whose files are in their place when all of them are made; nothing
    stays of it otherwise. Raises BadInput for a folder that holds something."""
    folder = folder.expanduser().resolve()
    _must_be_free(folder)
    with _staging(folder, say) as staging:
        _must_be_free(folder)
        try:
            for old in list(staging.iterdir()):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            fresh = staging / "made"
            fresh.mkdir()
            yield fresh
            if folder.is_dir():
                for entry in sorted(fresh.iterdir()):
                    entry.rename(folder / entry.name)
            else:
                fresh.rename(folder)
        finally:
            shutil.rmtree(staging)


@contextmanager
def _staging(target: Path, say: Say) -> Iterator[Path]:
    """The folder in which `target` arrives, held by this process alone: in it where it exists, else beside it."""
    while True:
        staging = target / _STAGING if target.is_dir() else target.with_name(f".{target.name}{_STAGING}")
        try:
            staging.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            said = mismatch(f"{staging}, which cannot be made ({error.strerror})", "a folder that may be written")
            raise BadInput([Violation(field="DIR", description=said)]) from error
        if fcntl is None:
            yield staging
            return
        held = os.open(staging, os.O_RDONLY)
        try:
            _lock(held, target, say)
            # Whoever held it before may have put it in its place: then this is no longer where anything arrives.
            if staging.is_dir() and os.path.samestat(os.fstat(held), staging.stat()):
                yield staging
                return
        finally:
            os.close(held)


def _lock(held: int, target: Path, say: Say) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"another process downloads to {target}; this one waits for it")
        fcntl.flock(held, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in {errno.EBADF, errno.ENOLCK, errno.ENOTSUP}:  # a file system without such locks
            raise


@contextmanager
def _kept(staging: Path, say: Say) -> Iterator[None]:
    """What came before an interruption stays, and it is said where; nothing stays of nothing."""
    try:
        yield
    except BaseException:
        kept = sum(entry.stat().st_size for entry in staging.rglob("*") if entry.is_file())
        if kept:
            say(f"{formatting.file_size(kept)} are kept in {staging}; the same call resumes from there")
        else:
            shutil.rmtree(staging)
        raise
