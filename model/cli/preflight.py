"""Looks at local data and models as the worker will, before a run is submitted. A process of its own, without torch.

    python -m model.cli.preflight < asked.json

One JSON object comes in on standard input:

    {"sources": [{"field": "stages[1].data.domain",      where the spec names it
                  "uri": "code.jsonl",                   how the spec writes it
                  "path": "/home/me/code.jsonl",         where it is; "" for what is not on this machine
                  "role": "domain",                      general, domain, chat, or retention
                  "stage": {...},                        the stage whose fields and options hold, as the spec has it
                  "stage_field": "stages[1]",
                  "max_tokens": 0}],                     cap of the stage; 0 is none
     "models": [{"field": "model.huggingface", "uri": "llama", "path": "/home/me/llama",
                 "sent": false}],                        whether it is uploaded, without any pickles beside it
     "template": "/home/me/llama"}                       whose chat template conversations get: that of a model folder,
                                                         "preset" for our own, nothing for a model that is elsewhere

and one goes out: `{"sources": [facts of each], "violations": [{"field", "description"}]}`. Of what is not on this
machine only the options are looked at. Reading ends after LIMIT_BYTES of text or LIMIT_S seconds a source, and where a
cap will end the worker's reading; `complete` says whether everything was read. Conversations are rendered in their
template as they are read, and the facts hold the first one: what the model reads, and which of it are target tokens.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.checkpointing.hf_config import AnyConfig
from model.checkpointing.hf_files import folder_faults, parameter_count
from model.child_process.rendering import ApartRenderer, NotThrough, try_tokenizer
from model.data.domains import DOMAINS, create_domain_dataset
from model.data.roles import StageText, as_role, domain_options, role_options
from model.data.sources import Source, open_source
from model.data.sources.apart import ApartSource
from model.data.sources.bounded import MOST_FAULTS, BoundedSource, Enough, Faults
from model.data.split import CONTROL, REPORT, TRAIN, HoldOut, split_of
from model.document import Document
from model.errors import BadSource, RetainModelError
from model.tokenization.encoding import place_of
from model.tokenization.tokenizer_files import TOKENIZER_FILE
from retain.values.faults import mismatch

LIMIT_BYTES, LIMIT_S = 64_000_000, 10.0
BYTES_PER_TOKEN = 4  # of English text in a vocabulary of usual size: about where a cap on tokens ends
SHOWN_FAULTS = 5
RENDERED_AT_ONCE = 64
PRESET = "preset"
BAD_INPUT = 2
# What a fault of an option is called here -> where the spec has it, below its stage.
_OPTIONS = {
    "data.fields": "data.fields",
    "languages": "domain_options.languages",
    "difficulty_range": "domain_options.difficulty",
    "fields": "domain_options.fields",
}


def check(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to what was asked; see the module."""
    sources: list[dict[str, Any]] = []
    violations: list[dict[str, str]] = []
    broken: set[str] = set()  # folders whose own faults say all
    models = []
    for one in asked.get("models", ()):
        facts, faults = check_model(one)
        models.append((facts, _violations(one, faults)))
        broken |= {one["path"]} if faults else set()
    template = asked.get("template")
    for one in asked.get("sources", ()):
        if one["path"]:
            facts, faults = check_source(one, template=None if template in broken else template)
            sources.append(facts)
        else:
            faults = check_options(one)
        violations += _violations(one, faults)
    for facts, said in models:
        sources.append(facts)
        violations += said
    return {"sources": sources, "violations": violations}


def check_source(
    one: Mapping[str, Any],
    *,
    template: str | None = PRESET,
    limit_bytes: int = LIMIT_BYTES,
    limit_s: float = LIMIT_S,
) -> tuple[dict[str, Any], list[RetainModelError]]:
    """(what a local source holds, every fault of it), read within the bounds."""
    path, said, role = one["path"], stage_text(one), _role(one)
    facts = _nothing_read(one, role)
    faults = Faults(limit_s=limit_s)
    try:
        options = role_options(said, role, path) or None
        source = open_source(path, options=options, on_fault=faults.add, waiting=faults.in_time)
        facts["bytes_on_disk"] = source.bytes_on_disk() if isinstance(source, ApartSource) else 0
        facts["kind"] = source.kind
        bounded = BoundedSource(source, faults, limit_bytes=limit_bytes)
        cap_bytes = BYTES_PER_TOKEN * _whole_number(one.get("max_tokens"))
        dataset = as_role(said, role, bounded)
        try:
            if source.kind == "chat" and template is not None:
                folder = None if template == PRESET else template
                with ApartRenderer(folder) as renderer:
                    _count(dataset, bounded, facts, faults, cap_bytes, Looked(renderer, faults, facts))
            else:
                _count(dataset, bounded, facts, faults, cap_bytes, None)
        finally:
            facts["notes"] += source.notes()
    except Enough:
        facts["complete"] = False
    except RetainModelError as error:
        if not faults.found:  # where rows are at fault, "no documents" is only what follows from it
            faults.found.append(error)
    except OSError as error:
        faults.found.append(_unreadable(error, path))
    return facts, faults.found


def _nothing_read(one: Mapping[str, Any], role: str) -> dict[str, Any]:
    """The facts of a source of which nothing was read yet."""
    return {
        "field": one["field"],
        "uri": one["uri"],
        "path": one["path"],
        "role": role,
        "kind": "",
        "documents": 0,
        "bytes": 0,
        "assistant_turns": 0,
        "documents_read": 0,
        "bytes_read": 0,
        "bytes_on_disk": 0,
        "complete": False,
        "notes": [],
        "example": None,
    }


class Looked:
    """Conversations as the model will read them, a batch at a time. Faults are noted, and so is the first example."""

    def __init__(self, renderer: ApartRenderer, faults: Faults, facts: dict[str, Any]) -> None:
        self._renderer, self._faults, self._facts = renderer, faults, facts
        self._batch: list[Document] = []
        self._through = True
        self._notes: Counter[str] = Counter()

    def add(self, document: Document) -> None:
        """One more conversation."""
        if not self._through:
            return
        self._batch.append(document)
        if len(self._batch) >= RENDERED_AT_ONCE or self._facts["example"] is None:
            self.flush()

    def flush(self) -> None:
        """Renders those that wait. A fault of the template itself is told once: `Faults` knows it by its words."""
        batch, self._batch = self._batch, []
        for document, rendered in zip(batch, self._renderer.render(batch) if batch else [], strict=False):
            self._through = not isinstance(rendered.fault, NotThrough)
            self._notes.update(rendered.notes)
            if rendered.fault is not None:
                self._faults.add(rendered.fault)
            elif self._facts["example"] is None:
                pieces = [{"text": text, "is_target": said} for text, said in rendered.pieces]
                self._facts["example"] = {"place": place_of(document), "pieces": pieces}

    def notes(self) -> list[str]:
        """What the template leaves out by its own rules, each with a count."""
        return [f"{count:,} of the conversations: {note}" for note, count in self._notes.most_common()]


def _count(
    dataset: Source,
    bounded: BoundedSource,
    facts: dict[str, Any],
    faults: Faults,
    cap_bytes: int,
    looked: Looked | None,
) -> None:
    """Reads and fills the facts in. What a part of the data does not hold the rest may, so that is no fault."""
    parts: Counter[str] = Counter()
    fit = True
    try:
        for document in dataset:
            parts[split_of(document)] += 1
            facts["documents"] += 1
            facts["bytes"] += len(document.plain_text().encode("utf-8", "surrogatepass"))
            facts["assistant_turns"] += sum(turn["role"] == "assistant" for turn in document.messages or ())
            if looked is not None and document.kind == "chat":
                looked.add(document)
            if cap_bytes and facts["bytes"] >= cap_bytes:
                bounded.complete = False
                break
        if looked is not None:
            looked.flush()
            facts["notes"] += looked.notes()
    except BadSource:
        fit = False
        if bounded.complete:
            raise
    finally:
        facts["complete"] = bounded.complete and faults.complete
        facts["documents_read"], facts["bytes_read"] = bounded.documents_read, bounded.bytes_read
    lacking = [part for part in (TRAIN, CONTROL, REPORT) if not parts[part]]
    if fit and facts["complete"] and not faults.found and lacking:
        count = facts["documents"]
        got = f"{count:,} {'document' if count == 1 else 'documents'}, none of them for {' and '.join(lacking)}"
        share = f"one in {2 / HoldOut().fraction:.0f}"
        faults.add(
            BadSource(bounded.uri, got, f"more documents that differ: {share} goes to control, {share} to report")
        )


def check_options(one: Mapping[str, Any]) -> list[RetainModelError]:
    """Faults of the options of a source that is not on this machine, which is not opened."""
    said, role, uri = stage_text(one), _role(one), one["uri"]
    faults = Faults(limit_s=LIMIT_S)
    try:
        role_options(said, role, uri)
        if said.domain is not None and role == said.domain:
            sample = DOMAINS[role].default_source
            create_domain_dataset(role, source=None if uri == sample else sample, **domain_options(said))
    except RetainModelError as error:
        faults.add(error)
    return faults.found


def check_model(one: Mapping[str, Any]) -> tuple[dict[str, Any], list[RetainModelError]]:
    """(what a local model folder holds, every fault that shows without loading a weight)."""
    folder = Path(one["path"])
    config: AnyConfig | None = None
    notes: list[str] = []
    try:
        if (folder / TOKENIZER_FILE).is_file():
            try_tokenizer(str(folder))
        config, faults = folder_faults(folder, pickles=not one.get("sent", False), notes=notes)
    except OSError as error:
        faults = [_unreadable(error, str(folder))]
    except NotThrough as error:
        faults = [error]
    facts = {
        "field": one["field"],
        "uri": one["uri"],
        "path": str(folder),
        "role": "model",
        "kind": "model",
        # Beside a fault nothing is known: a config that contradicts its weights counts what is not there.
        "parameters": parameter_count(folder, config) if config is not None and not faults else None,
        "vocab_size": config.vocab_size if config is not None and not faults else None,
        "notes": [note.replace(str(folder), one["uri"]) for note in notes],
        "bytes_on_disk": sum(file.stat().st_size for file in _files(folder)),
        "complete": True,
    }
    return facts, faults


def _unreadable(error: OSError, path: str) -> RetainModelError:
    return BadSource(str(error.filename or path), error.strerror or repr(error), "what may be read")


def stage_text(one: Mapping[str, Any]) -> StageText:
    """What the stage says about the text, as far as it can be read: faults of the spec's form are the server's."""
    stage = _mapping(one.get("stage"))
    kind = str(stage.get("kind", "")).removeprefix("STAGE_KIND_")
    domain = _domain(stage)
    options = _mapping(stage.get("domain_options"))
    learns = kind == "PRETRAIN" or one["role"] in ("domain", "chat")
    return StageText(
        learned=(one["path"] or one["uri"],) if learns else (),
        fields={str(name): str(column) for name, column in _mapping(_mapping(stage.get("data")).get("fields")).items()},
        domain=domain if kind == "MIDTRAIN" and domain in DOMAINS else None,
        domain_options={str(name): value for name, value in options.items() if isinstance(value, list)},
    )


def _role(one: Mapping[str, Any]) -> str:
    return _domain(_mapping(one.get("stage"))) if one["role"] == "domain" else one["role"]


def _domain(stage: Mapping[str, Any]) -> str:
    return str(stage.get("domain", "")).removeprefix("DOMAIN_").lower()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _whole_number(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _files(path: Path) -> list[Path]:
    return [file for file in (path, *path.rglob("*")) if file.is_file()]


def _violations(one: Mapping[str, Any], faults: Sequence[RetainModelError]) -> list[dict[str, str]]:
    """The first faults under the spec's own names, and how many more there are."""
    made = []
    for error in faults[:SHOWN_FAULTS]:
        said = error.description
        if error.field in _OPTIONS:
            made.append({"field": f"{one['stage_field']}.{_OPTIONS[error.field]}", "description": said})
            continue
        where = error.field.replace(one["path"], one["uri"].rstrip("/")) if one["path"] else error.field
        made.append({"field": one["field"], "description": f"{where}: {said}"})
    if len(faults) > SHOWN_FAULTS:
        least = "at least " if len(faults) >= MOST_FAULTS else ""
        more = f"{one['uri']}: {least}{len(faults) - SHOWN_FAULTS:,} more faults"
        made.append({"field": one["field"], "description": more})
    return made


def main() -> int:
    """Standard input to standard output. Exit code 2 for what is not JSON."""
    try:
        asked = json.load(sys.stdin)
    except ValueError as error:
        said = mismatch(f"no JSON ({error})", "one object with sources and models")
        print(f"error: standard input: {said}", file=sys.stderr)
        return BAD_INPUT
    json.dump(check(asked), sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
