"""What a spec may ask of the hub, refused before anything is stored: the reader refuses the same (model/sources).

`hf://text?data_files=...` would have the loader read any file of a worker's machine, or any address.
"""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=:\[\]%/-]{0,199}")
_OPTIONS = frozenset({"name", "split", "revision", "data_files", "limit_documents", "limit_bytes"})
_REFUSED = frozenset({"data_dir", "trust_remote_code", "token", "storage_options", "cache_dir"})
_PATHS = re.compile(r'[\[\]{},"\']')


def faults_of_hub_uri(rest: str) -> Iterator[tuple[str, str]]:
    """What was got and what was expected, for each fault of what stands behind `hf://`. A local folder is the reader's
    to judge, who sees it."""
    path, _, query = rest.partition("?")
    if not path.startswith(("/", "./", "../")) and not _NAME.fullmatch(path):
        yield path, "hf://owner/name (letters, digits, '.', '_', '-')"
    for option, value in parse_qsl(query, keep_blank_values=True):
        if option in _REFUSED:
            yield f"the option {option}", ", ".join(sorted(_OPTIONS))
        elif option in ("name", "split", "revision") and (not _WORD.fullmatch(value) or ".." in value or "//" in value):
            yield f"{option}={value}", f"a {option} of letters, digits, '.', '_', '-'"
        elif option == "data_files":
            for file in filter(None, (part.strip() for part in _PATHS.split(value))):
                if _leads_out(file, in_mapping="{" in value):
                    yield f"data_files={file}", "files of the data set itself: relative paths without '..' or ':'"


def _leads_out(file: str, *, in_mapping: bool) -> bool:
    if in_mapping and file == ":":
        return False  # between a split's name and its files
    return file.startswith(("/", "~")) or ".." in file.split("/") or ":" in file or "\\" in file or "\0" in file
