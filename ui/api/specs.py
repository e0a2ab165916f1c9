"""The forms in which a spec may come to Python: a path, a text, a dict. All become the plain tree that is sent."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from retain.values.faults import mismatch
from ui.client.client import RetainClient
from ui.client.errors import BadInput, MissingExtra, Violation
from ui.local.preflight import check_local
from ui.local.upload import place_local_sources
from ui.spec.file import STANDARD_INPUT, apply_override, load_spec, parse_yaml

SpecLike = str | Path | Mapping[str, Any]
NO_FILE = STANDARD_INPUT  # local paths in a text or a dict are looked for in the current folder only


def read(spec: SpecLike, changes: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], str]:
    """(plain tree, the spec's own path or NO_FILE). A string with a line break, or one that begins with a brace, is a
    text; any other is a path. The caller's dict is left as it is. Raises BadInput."""
    if isinstance(spec, Mapping):
        tree, place = _plain(spec), NO_FILE
    elif isinstance(spec, str) and ("\n" in spec or spec.lstrip().startswith("{")):
        tree, place = parse_yaml(spec), NO_FILE
    elif isinstance(spec, str | Path):
        tree, place = load_spec(str(Path(spec).expanduser())), str(Path(spec).expanduser())
    else:
        raise _refused("spec", mismatch(type(spec).__name__, "a path, a YAML text or a dict"))
    if not isinstance(tree, dict):
        raise _refused("spec", mismatch(type(tree).__name__, "a mapping with name, model, stages"))
    for path, value in (changes or {}).items():
        try:
            apply_override(tree, f"{path}={json.dumps(_plain(value))}")
        except TypeError as error:
            raise _refused(path, f"got {value!r}: {error}") from error
    return tree, place


def prepared(
    client: RetainClient,
    tree: dict[str, Any],
    place: str,
    *,
    upload: bool | None,
    check: bool | None,
    say: Callable[[str], None],
) -> None:
    """Local data of the tree is looked at, as far as that is wanted and possible, and placed where workers can read it.

    Raises BadInput with every fault, MissingExtra where `check` is True and the packages for it are not installed.
    """
    send = (not client.address.is_loopback) if upload is None else upload
    if check is not False:
        try:
            found = check_local(tree, place, sent=send)
        except MissingExtra as error:
            if check:
                raise
            say(f"the local data is not checked before it is used: {error.message}")
        else:
            if found.violations:
                raise BadInput(found.violations)
    place_local_sources(client, tree, place, send=send, say=say)


def _plain(value: Any) -> Any:
    """A copy with plain dicts and lists, and with paths as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def _refused(field: str, description: str) -> BadInput:
    return BadInput([Violation(field=field, description=description)])
