"""What `pip install retain` does not bring: packages of an extra, and the one line that says which extra it is.

The lists are those of the installed package's metadata, which come from pyproject.toml. Code that runs without being
installed, as in the images, has no metadata: nothing is known to be missing there.
"""

import re
from collections.abc import Iterator, Sequence

from ui.client.errors import MissingExtra

_PACKAGE = "retain"
_SHOWN = 3
_NEEDS = re.compile(
    r"""(?P<name>[\w.-]+)\s*(?:\[(?P<extras>[^]]*)])?[^;]*;.*\bextra\s*==\s*["'](?P<extra>[\w.-]+)["']"""
)


def require(what: str, *extras: str) -> None:
    """Raises MissingExtra where `what` (`retain up`) needs packages of these extras that are not installed."""
    missing = missing_packages(*extras)
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise MissingExtra(
            f"{what} needs {', '.join(missing[:_SHOWN])}{more}, which `pip install '{_PACKAGE}[{','.join(extras)}]'` "
            "brings",
            reason="MISSING_EXTRA",
        )


def missing_packages(*extras: str) -> list[str]:
    """Names of the packages of these extras, and of the extras that they include, that are not installed; sorted."""
    return sorted({name for name in _packages(_requirements(), extras) if not _is_installed(name)}, key=str.lower)


def _packages(requirements: Sequence[str], extras: Sequence[str]) -> Iterator[str]:
    for match in filter(None, map(_NEEDS.match, requirements)):
        if match["extra"] not in extras:
            continue
        if match["name"] == _PACKAGE:
            yield from _packages(requirements, [name.strip() for name in (match["extras"] or "").split(",")])
        else:
            yield match["name"]


def _requirements() -> Sequence[str]:
    from importlib import metadata  # late: `retain --help` needs none of it, and it takes a while

    try:
        return metadata.requires(_PACKAGE) or ()
    except metadata.PackageNotFoundError:
        return ()


def _is_installed(name: str) -> bool:
    from importlib import metadata

    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
