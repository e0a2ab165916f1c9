"""What may be asked of the hub, and which revision an answer is of.

A name is `owner/name`, or a local folder in hub layout (`hf:///folder`, `hf://./folder`). Everything that could make
the loader read something else than that data set's own files is refused: names of the loader's own formats (`hf://text`
with `data_files` reads any file of the machine, or any address), absolute and climbing paths, addresses, scripts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import BadSource, printable

ASK_TIMEOUT_S = 20.0
LONGEST_REASON = 300
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=:\[\]%/-]{0,199}")


@dataclass(frozen=True, kw_only=True)
class Revision:
    """`commit`: what the name stood for when it was asked; None when the hub could not be asked."""

    commit: str | None
    note: str = ""


def is_local(path: str) -> bool:
    """Whether a path behind hf:// names a folder of this machine: it begins as one."""
    return path.startswith(("/", "./", "../"))


def check_name(uri: str, path: str) -> None:
    """Raises BadSource for what is neither `owner/name` nor a local folder."""
    if not path:
        raise BadSource(field=uri, got="no data set", expected="hf://owner/name or hf:///folder")
    if is_local(path):
        if not Path(path).is_dir():
            raise BadSource(field=uri, got="no folder there", expected="hf://owner/name, or a folder in hub layout")
        return
    if not _NAME.fullmatch(path):
        raise BadSource(field=uri, got=path, expected="hf://owner/name (letters, digits, '.', '_', '-'), hf:///folder")


def check_options(uri: str, *, name: Any, split: Any, revision: Any, data_files: Any) -> None:
    """Raises BadSource for options that name something outside the data set's own files."""
    for option, value in (("name", name), ("split", split), ("revision", revision)):
        if value is not None and not (
            isinstance(value, str) and _WORD.fullmatch(value) and ".." not in value and "//" not in value
        ):
            raise BadSource(field=f"{uri}: {option}", got=value, expected="a name of letters, digits, '.', '_', '-'")
    for file in _files(uri, data_files):
        parts = file.replace("\\", "/").split("/")
        if not file or file.startswith(("/", "~")) or ".." in parts or ":" in file or "\\" in file or "\0" in file:
            said = "files of the data set itself: relative paths without '..', ':' or '\\'"
            raise BadSource(field=f"{uri}: data_files", got=file, expected=said)


def check_resolved(uri: str, path: str, data_files: Any) -> None:
    """Raises BadSource where what a data set's own card names as its files lies elsewhere: on this machine, at an
    address, in another data set. `data_files`: by split, as `datasets` found them."""
    folder = Path(path).resolve() if is_local(path) else None
    for files in (data_files or {}).values():
        for file in files:
            if folder is None:
                fine = str(file).startswith(f"hf://datasets/{path}@")
            else:
                fine = "://" not in str(file) and Path(file).resolve().is_relative_to(folder)
            if not fine:
                said = f"a card that names {printable(str(file))[:LONGEST_REASON]} as a file of the data set"
                raise BadSource(field=uri, got=said, expected="files of the data set itself")


def revision_of(uri: str, path: str, asked: str | None) -> Revision:
    """The commit behind a branch, a tag or nothing, asked of the hub once. A note says when it cannot be had.

    Raises BadSource when the hub answers that there is no such data set or revision, or that it may not be read.
    """
    import httpx2  # what huggingface_hub speaks HTTP with
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Revision(commit=None, note=f"{uri}: offline, so its revision is what the local copy holds")
    try:
        info = HfApi().dataset_info(path, revision=asked, timeout=ASK_TIMEOUT_S)
    except GatedRepoError as error:
        raise BadSource(field=uri, got="access that is restricted (gated)", expected=_with_token()) from error
    except RevisionNotFoundError as error:
        raise BadSource(field=f"{uri}: revision", got=asked, expected="a branch, tag or commit of it") from error
    except RepositoryNotFoundError as error:
        said = f"a data set that is there and may be read; {_with_token()}"
        raise BadSource(field=uri, got="no such data set, or one that is private", expected=said) from error
    except (HfHubHTTPError, OSError, httpx2.TransportError) as error:
        return Revision(commit=None, note=f"{uri}: the hub did not tell its revision ({reason(error)})")
    return Revision(commit=info.sha)


def reason(error: BaseException) -> str:
    """A library's error in a line that is short and can be printed: addresses and pages of HTML help nobody."""
    text = " ".join(printable(f"{type(error).__name__}: {error}").split())
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def _with_token() -> str:
    sent = "HF_TOKEN is set, but has no access" if os.environ.get("HF_TOKEN") else "HF_TOKEN is not set"
    return f"a token with access to it in HF_TOKEN of the process that reads ({sent})"


def _files(uri: str, data_files: Any) -> Sequence[str]:
    if data_files is None:
        return ()
    named = data_files.values() if isinstance(data_files, dict) else [data_files]
    found: list[str] = []
    for value in named:
        found += value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(file, str) for file in found):
        raise BadSource(field=f"{uri}: data_files", got=data_files, expected="paths inside the data set")
    return found
