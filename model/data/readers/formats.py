"""What the name of a file says: its format, its compression, and whether it is data at all.

| format | names |
|---|---|
| text | .txt, .text, .md, .rst, and source code |
| json | .jsonl, .ndjson, .json |
| csv | .csv, .tsv |
| parquet | .parquet |

Each but parquet (compressed inside) may end in .gz or .zst as well. Upper and lower case are the same. What describes
data is not data: a README, a licence, a data set card, the `dataset_infos.json` of a hub folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath

LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "python": (".py",),
    "javascript": (".js", ".mjs"),
    "typescript": (".ts",),
    "java": (".java",),
    "c": (".c", ".h"),
    "c++": (".cc", ".cpp", ".hpp"),
    "c#": (".cs",),
    "go": (".go",),
    "rust": (".rs",),
    "ruby": (".rb",),
    "php": (".php",),
    "shell": (".sh",),
    "sql": (".sql",),
    "scala": (".scala",),
    "kotlin": (".kt",),
    "swift": (".swift",),
    "haskell": (".hs",),
    "lua": (".lua",),
    "perl": (".pl",),
    "r": (".r",),
    "julia": (".jl",),
}
LANGUAGE_OF = {suffix: language for language, suffixes in LANGUAGES.items() for suffix in suffixes}
TEXT, JSON, CSV, PARQUET = "text", "json", "csv", "parquet"
_PROSE = {".txt", ".text", ".md", ".rst"}
FORMATS: Mapping[str, str] = {
    **dict.fromkeys((*_PROSE, *LANGUAGE_OF), TEXT),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), JSON),
    **dict.fromkeys((".csv", ".tsv"), CSV),
    ".parquet": PARQUET,
}
COMPRESSIONS = (".gz", ".zst")
SUFFIXES = sorted(FORMATS)
ALLOWED = f"{', '.join(SUFFIXES)}; all but parquet also with {' or '.join(COMPRESSIONS)} behind"

_ABOUT_DATA = re.compile(
    r"(readme|licen[sc]es?|copying|notice|citation|contributing|code[-_ ]of[-_ ]conduct"
    r"|(data(set)?|model)[-_ ]?card)(?![a-z])"
)
_HUB_FILES = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}


def suffix_of(path: PurePath) -> str:
    """The suffix that says what the file is, in lower case: `.jsonl` of `Train.JSONL.gz`."""
    name = path.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    return PurePath(name).suffix


def compression_of(path: PurePath) -> str:
    """`.gz`, `.zst`, or nothing."""
    suffix = path.suffix.lower()
    return suffix if suffix in COMPRESSIONS else ""


def format_of(path: PurePath) -> str | None:
    """text, json, csv or parquet; None for a file that is not read."""
    found = FORMATS.get(suffix_of(path))
    return None if found == PARQUET and compression_of(path) else found


def language_of(path: PurePath) -> str | None:
    """The programming language of a file of source code."""
    return LANGUAGE_OF.get(suffix_of(path))


def is_about_data(path: PurePath) -> bool:
    """Whether the file describes data. Folders that were sent to a store are flat: `sub__README.md` is one too."""
    name = path.name.lower().rpartition("__")[2]
    suffix = suffix_of(path)
    if name in _HUB_FILES or any(name == known + end for known in _HUB_FILES for end in COMPRESSIONS):
        return True
    return (suffix in _PROSE or suffix == ".json") and _ABOUT_DATA.match(name) is not None
