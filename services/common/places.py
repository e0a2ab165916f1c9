"""Places of this machine that a source or a model may name, as far as the name tells; who opens it looks at the links.

Nobody's training text lies among the system's own folders or beside somebody's keys, so those are refused even where
no root is configured, on the loopback stack of one person.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

SETTING = "RETAIN_DATA_ROOT"
_SYSTEM = ("/etc", "/proc", "/sys", "/dev", "/run", "/boot", "/var/run", "/var/log", "/var/lib", "/private/etc")
_KEYS = frozenset({".ssh", ".aws", ".gnupg", ".kube", ".docker", ".netrc", ".config", ".git-credentials", ".env"})


def roots_of(said: str | None) -> tuple[Path, ...]:
    """The folders that a setting names, between colons."""
    return tuple(Path(root).expanduser().resolve() for root in (said or "").split(os.pathsep) if root)


def local_path(place: str) -> Path | None:
    """The local path that a source or a model names; None for one that is somewhere else."""
    base = place.partition("?")[0] if "://" in place else place
    scheme, separator, rest = base.partition("://")
    if not separator:
        return Path(base).expanduser()
    if scheme == "file":
        return Path(unquote(rest))
    if scheme == "hf" and (rest.startswith(("/", ".", "~")) or Path(rest).exists()):
        return Path(rest).expanduser()
    return None


def is_private(path: Path) -> bool:
    """Whether a path (absolute, links resolved by whoever can) is the system's, or holds somebody's keys."""
    return (
        str(path).startswith(tuple(f"{folder}/" for folder in _SYSTEM))
        or str(path) in _SYSTEM
        or bool(_KEYS.intersection(path.parts))
    )


def leads_out(path: Path, roots: Sequence[Path]) -> str | None:
    """Why a file or folder may not be read: "" when it lies elsewhere itself, the name of a link in it that leads
    elsewhere; None when it and everything that links in it lead to may be."""
    if not _may_be_read(path, roots):
        return ""
    for folder, folders, files in os.walk(path, followlinks=False):
        for name in (*folders, *files):
            found = Path(folder) / name
            if found.is_symlink() and not _may_be_read(found, roots):
                return name
    return None


def _may_be_read(path: Path, roots: Sequence[Path]) -> bool:
    resolved = path.resolve()
    if roots:
        return any(resolved.is_relative_to(root) for root in roots)
    return not is_private(resolved)


def allowed_folders(roots: Sequence[Path]) -> str:
    """For people: what would have been right."""
    if roots:
        return f"a file or folder below {' or '.join(map(str, roots))} ({SETTING})"
    return "a file or folder that is neither the system's own nor one with keys"
