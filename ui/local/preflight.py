"""The local data of a spec, looked at before anything is submitted: by `model.cli.preflight`, in a process of its own.

The server cannot see the files of this machine, and its workers would find their faults only when they prepare them.
"""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from retain.values.faults import mismatch
from ui.client.errors import ClientError, MissingExtra, Violation
from ui.extras import require
from ui.spec.file import find_local

_ROLES = ("general", "domain", "chat")
_SHOWN_CHARACTERS = 400


@dataclass(frozen=True, kw_only=True)
class LocalCheck:
    """What was found: facts of every local source and model (see `model.cli.preflight`), and every fault."""

    sources: tuple[dict[str, Any], ...] = ()
    violations: tuple[Violation, ...] = ()

    def with_server(self, faults: tuple[Violation, ...]) -> tuple[Violation, ...]:
        """These faults and the server's. Where both speak of a field, these say more."""
        own = {fault.field for fault in self.violations}
        others = (fault for fault in faults if fault.field not in own and fault.field.rpartition("[")[0] not in own)
        return (*self.violations, *others)

    def lines(self) -> list[str]:
        """One line a source, for people."""
        return [_line(facts) for facts in self.sources]

    def details(self) -> list[list[str]]:
        """What else there is to know of each source: what was left out or cut, and of conversations the first one as
        the model reads it, with its target tokens marked."""
        return [_details(facts) for facts in self.sources]


def check_local(tree: Any, spec_path: str, *, sent: bool) -> LocalCheck:
    """Looks at every local source and model folder of a spec. `sent`: they are uploaded, not read where they are.

    Raises MissingExtra where the packages that look at data are not installed, with the faults that were found without
    them; ClientError when the check itself does not run.
    """
    asked, missing = _questions(_mapping(tree), spec_path, sent)
    if not asked["sources"] and not asked["models"]:
        return LocalCheck(violations=tuple(missing))
    return _asked(asked, missing)


def check_model_folder(folder: str) -> LocalCheck:
    """Looks at one model folder that is to be uploaded. Raises like `check_local`."""
    model = {"field": "DIR", "uri": folder, "path": folder, "sent": True}
    return _asked({"sources": [], "models": [model]}, [])


def _asked(asked: dict[str, list[dict[str, Any]]], missing: list[Violation]) -> LocalCheck:
    """The answer of `model.cli.preflight`."""
    try:
        require("looking at local data", "data")
    except MissingExtra as error:
        error.violations = tuple(missing)
        raise
    # -P: no folder here shadows the module.
    command = [sys.executable, "-P", "-m", "model.cli.preflight"]
    done = subprocess.run(command, input=json.dumps(asked, default=str), capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise ClientError(f"the check of the local data ended with {done.returncode}: {last}", reason="CHECK_FAILED")
    answer = json.loads(done.stdout)
    also = {one["field"]: one["also"] for one in asked["sources"]}
    return LocalCheck(
        sources=tuple({**facts, "also": also.get(facts["field"], [])} for facts in answer["sources"]),
        violations=(*missing, *(Violation(**fault) for fault in answer["violations"])),
    )


def _questions(tree: dict[str, Any], spec_path: str, sent: bool) -> tuple[dict[str, Any], list[Violation]]:
    """(what `model.cli.preflight` is to look at, faults of paths that do not exist). The same file in the same role is
    asked for once; `also` holds the other fields that name it."""
    missing: list[Violation] = []
    asked: dict[str, Any] = {"sources": _sources_asked(tree, spec_path, missing), "models": [], "template": None}
    if _mapping(tree.get("model")).get("preset"):
        asked["template"] = "preset"
    folder = _mapping(tree.get("model")).get("huggingface")
    if isinstance(folder, str) and folder:
        path = _found(folder, "model.huggingface", spec_path, missing)
        if path:
            asked["models"].append({"field": "model.huggingface", "uri": folder, "path": path, "sent": sent})
            asked["template"] = path
    return asked, missing


def _sources_asked(tree: dict[str, Any], spec_path: str, missing: list[Violation]) -> list[dict[str, Any]]:
    """The local sources, each with the options that it is read with; faults of paths are added to `missing`."""
    known: dict[tuple[str, str, int], dict[str, Any]] = {}
    first: dict[str, tuple[str, int]] = {}
    listed = tree.get("stages")
    stages = [_mapping(stage) for stage in listed] if isinstance(listed, list) else []
    for number, key, name, uri in _named_sources(tree, stages):
        field = f"stages[{number}].data.{key}" if number >= 0 else f"forgetting.retention.{name}"
        path = _found(uri, field, spec_path, missing)
        if path is None:
            continue
        # A role keeps the options of the stage that introduced it when its text is the same, as in the worker.
        owner = number
        if number >= 0:
            text, introduced = first.setdefault(name, (path or uri, number))
            owner = introduced if text == (path or uri) else number
        stage = stages[owner] if owner >= 0 else {}
        if not path and not (stage.get("domain_options") or _mapping(stage.get("data")).get("fields")):
            continue
        # A tokenizer is trained on the first general text, whatever the stage's cap.
        trains = number >= 0 and name == "general" and number == first[name][1]
        trains = trains and bool(_mapping(tree.get("model")).get("preset"))
        cap = 0 if trains or number < 0 else _cap(stages[number])
        same = known.get((name, path or uri, owner))
        if same is not None:
            same["also"].append(field)
            same["max_tokens"] = max(same["max_tokens"], cap) if same["max_tokens"] and cap else 0
            continue
        known[name, path or uri, owner] = {
            "field": field,
            "uri": uri,
            "path": path,
            "role": key,
            "stage": stage,
            "stage_field": f"stages[{owner}]",
            "max_tokens": cap,
            "also": [],
        }
    return list(known.values())


def _named_sources(tree: dict[str, Any], stages: list[dict[str, Any]]) -> Iterator[tuple[int, str, str, str]]:
    """(stage or -1, key, name of the role, URI) of every source of the spec."""
    for number, stage in enumerate(stages):
        data = _mapping(stage.get("data"))
        for key in _ROLES:
            if isinstance(data.get(key), str) and data[key]:
                name = f"domain {stage.get('domain')}" if key == "domain" else key
                yield number, key, name, data[key]
    for name, uri in _mapping(_mapping(tree.get("forgetting")).get("retention")).items():
        if isinstance(uri, str) and uri:
            yield -1, "retention", str(name), uri


def _cap(stage: dict[str, Any]) -> int:
    tokens = _mapping(stage.get("data")).get("max_tokens")
    return int(tokens) if isinstance(tokens, int | float) and 0 < tokens < math.inf else 0


def _found(uri: str, field: str, spec_path: str, missing: list[Violation]) -> str | None:
    """Absolute path of a local source, "" for one elsewhere, None (and a fault noted) for one that is nowhere."""
    if "://" in uri:
        return ""
    path = find_local(uri, spec_path)
    if path is None:
        missing.append(not_there(uri, field))
    return str(path) if path is not None else None


def not_there(uri: str, field: str) -> Violation:
    """The fault of a path that does not exist on this machine."""
    said = mismatch(f"{uri!r}, which does not exist here", "an existing file or folder, or sample://, s3://, hf://")
    return Violation(field=field, description=said)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _line(facts: dict[str, Any]) -> str:
    place = ", ".join([facts["field"], *facts["also"]])
    if facts["kind"] == "model":
        size = f"{_megabytes(facts['bytes_on_disk'])} of files"
        if facts["parameters"] is None:
            return f"{place}: {facts['uri']}: model that cannot be used as it is, {size}"
        what = f"{facts['parameters']:,} parameters, vocabulary of {facts['vocab_size']:,}"
        notes = "".join(f"; note: {note}" for note in facts["notes"])
        return f"{place}: {facts['uri']}: model, {what}, {size}{notes}"
    if not facts["kind"]:
        return f"{place}: {facts['uri']}: nothing could be read of {_megabytes(facts['bytes_on_disk'])}"
    chat = facts["kind"] == "chat"
    what = f"{facts['kind']}, {facts['documents']:,} {'conversations' if chat else 'documents'}"
    if facts["documents"] != facts["documents_read"]:
        what += f" of {facts['documents_read']:,} fit"
    if chat:
        what += f", {facts['assistant_turns']:,} assistant turns"
    what += f", {_megabytes(facts['bytes'])}"
    if not facts["complete"]:
        what += (
            f" (only the first {_megabytes(facts['bytes_read'])} of text were read;"
            f" the files have {_megabytes(facts['bytes_on_disk'])})"
        )
    return f"{place}: {facts['uri']}: {what}"


def _details(facts: dict[str, Any]) -> list[str]:
    uri = facts["uri"].rstrip("/")
    if facts["kind"] == "model":
        return []  # its line holds its notes
    made = [f"  {note.replace(facts['path'], uri)}" for note in facts.get("notes", ())]
    example = facts.get("example")
    if example:
        place = example["place"].replace(facts["path"], uri)
        made.append(f"  {place} as the model reads it; `learns` marks the target tokens:")
        made += [f"    {'learns' if p['is_target'] else 'reads '} | {_shown(p['text'])}" for p in example["pieces"]]
    return made


def _shown(text: str) -> str:
    """A text on one line: line ends and other characters that nobody sees as escapes, the middle of a long one cut."""
    if len(text) > _SHOWN_CHARACTERS:
        half = _SHOWN_CHARACTERS // 2
        text = f"{text[:half]} ... ({len(text) - 2 * half:,} more characters) ... {text[-half:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"
