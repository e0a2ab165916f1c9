"""What in the store nothing refers to: a pure function from a listing and the database's references to items.

    runs/{run}/{stage}/attempt-{n}/step-{step}/   a checkpoint; an orphan without a row, of an attempt that is over
    evalsets/{digest}/  prepared/{digest}/  tokenizers/{digest}/  imports/{digest}/
    prepared/recipes/*.json  tokenizers/recipes/*.json   what was made from what: goes before what it names
    evaluations/{weights digest}/...              measurements
    floors/{set digest}/...                       noise floors of a set
    evaluator/runs/{run}/...  history/{run}...    what the evaluator keeps of a run
    uploads/{folder}/                             files of clients

What is laid out in another way is left alone. Nothing younger than the limit is taken, since it may be in the making.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import Protocol

_DIGEST = re.compile(r"[0-9a-f]{16,64}")
_URI = re.compile(r"s3://[^\s\"\\?#]+")
_STEP = re.compile(r"(?P<attempt>runs/(?P<run>[^/]+)/.+/attempt-(?P<number>\d+))/[^/]+")


class GarbageKind(StrEnum):
    """What an item is."""

    RUN = "run"
    ORPHAN = "orphan"
    EVALUATION_SET = "evaluation_set"
    EVALUATION = "evaluation"
    HISTORY = "history"
    IMPORT = "import"
    PREPARED = "prepared"
    TOKENIZER = "tokenizer"
    UPLOAD = "upload"

    @property
    def shared(self) -> bool:
        """Whether a run that begins now may come to use it: it is taken only while no run is being prepared or made."""
        return self in _SHARED


_SHARED = (
    GarbageKind.EVALUATION_SET,
    GarbageKind.IMPORT,
    GarbageKind.PREPARED,
    GarbageKind.TOKENIZER,
    GarbageKind.UPLOAD,
)
_FOLDERS: Mapping[str, GarbageKind] = {
    "evalsets": GarbageKind.EVALUATION_SET,
    "prepared": GarbageKind.PREPARED,
    "tokenizers": GarbageKind.TOKENIZER,
    "imports": GarbageKind.IMPORT,
    "evaluations": GarbageKind.EVALUATION,
    "floors": GarbageKind.EVALUATION_SET,
    "uploads": GarbageKind.UPLOAD,
}
RECIPES = ("prepared/recipes/", "tokenizers/recipes/")


class Listed(Protocol):
    """An object as a store lists it. `modified_s`: Unix seconds, None when the store does not say."""

    @property
    def key(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def modified_s(self) -> float | None: ...


@dataclass(frozen=True, kw_only=True)
class References:
    """What the database refers to.

    `runs` are the stored ones; `named` holds every URI and digest that any stored run, checkpoint or recent request
    names; `steps` the URIs of checkpoints with a row. `at_work` maps a run that has not ended to the first attempt of
    each stage (by name) that may still write; `preparing` are runs that choose among shared data just now.
    """

    runs: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    steps: frozenset[str] = frozenset()
    at_work: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    preparing: tuple[str, ...] = ()

    def merged(self, *others: "References") -> "References":
        """All of them together."""
        every = (self, *others)
        return References(
            runs=frozenset().union(*(r.runs for r in every)),
            named=frozenset().union(*(r.named for r in every)),
            steps=frozenset().union(*(r.steps for r in every)),
            at_work={run: stages for r in every for run, stages in r.at_work.items()},
            preparing=tuple(dict.fromkeys(run for r in every for run in r.preparing)),
        )


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something that nothing refers to. `uri` is a folder, or an object where `objects` is 1 and it ends so."""

    uri: str
    key: str
    kind: GarbageKind
    objects: int
    bytes: int
    modified_s: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class _Place:
    key: str
    kind: GarbageKind
    name: str


def names_in(text: str) -> frozenset[str]:
    """Every s3:// URI and every digest in a stored text. Of a URI also each folder above it, as far as the bucket."""
    found = set(_DIGEST.findall(text))
    for uri in _URI.findall(text):
        place = uri.rstrip("/")
        while place.count("/") > 2:
            found.add(place)
            place = place.rpartition("/")[0]
    return frozenset(found)


def items(
    listing: Iterable[Listed], refs: References, *, store_uri: str, now_s: float, older_than_s: float
) -> Iterator[Item]:
    """The garbage of a listing in which the objects of a folder come one after another. Needs memory for one item."""
    for place, group in groupby(listing, key=lambda info: _place_of(info.key)):
        count, size, newest_s = 0, 0, 0.0
        for info in group:
            count, size = count + 1, size + info.size_bytes
            newest_s = max(newest_s, now_s if info.modified_s is None else info.modified_s)
        if place is None or now_s - newest_s < older_than_s:
            continue
        uri = f"{store_uri}/{place.key}"
        reason = _why(place, uri, refs)
        if reason is not None:
            gone = place.kind is GarbageKind.ORPHAN and place.name not in refs.runs
            yield Item(
                uri=uri,
                key=place.key,
                kind=GarbageKind.RUN if gone else place.kind,
                objects=count,
                bytes=size,
                modified_s=newest_s,
                reason=reason,
            )


def recipe_items(
    recipes: Iterable[tuple[Listed, frozenset[str]]],
    refs: References,
    *,
    store_uri: str,
    now_s: float,
    older_than_s: float,
) -> tuple[tuple[Item, ...], References]:
    """Recipes that name something that nothing else refers to, and the references with what the others name.

    A recipe that is young was just written or just used by a run that is being prepared: what it names is kept. Each
    recipe comes with the digests in it.
    """
    old: list[Item] = []
    young: set[str] = set()
    for info, digests in recipes:
        modified_s = now_s if info.modified_s is None else info.modified_s
        if now_s - modified_s < older_than_s:
            young |= digests
            continue
        kind = GarbageKind.TOKENIZER if info.key.startswith("tokenizers/") else GarbageKind.PREPARED
        if not digests <= refs.named:
            old.append(
                Item(
                    uri=f"{store_uri}/{info.key}", key=info.key, kind=kind, objects=1, bytes=info.size_bytes,
                    modified_s=modified_s, reason="a recipe of what nothing refers to",
                )
            )  # fmt: skip
    return tuple(old), refs.merged(References(named=frozenset(young)))


def _place_of(key: str) -> _Place | None:
    """Which item an object belongs to, or None for what is not ours to judge."""
    parts = key.split("/")
    if len(parts) < 2 or not all(parts[:2]):
        return None
    top, name = parts[0], parts[1]
    if top == "runs":
        step = _STEP.match(key)
        return _Place(key=step.group(0) if step else f"runs/{name}", kind=GarbageKind.ORPHAN, name=name)
    if top == "history":
        run = name.removesuffix(".json")
        return _Place(key=f"history/{name}", kind=GarbageKind.HISTORY, name=run)
    if top == "evaluator" and name == "runs" and len(parts) > 3:
        return _Place(key=f"evaluator/runs/{parts[2]}", kind=GarbageKind.EVALUATION, name=parts[2])
    kind = _FOLDERS.get(top)
    if kind is None or name == "recipes" or len(parts) < 3:
        return None
    return _Place(key=f"{top}/{name}", kind=kind, name=name)


def _why(place: _Place, uri: str, refs: References) -> str | None:
    """Why nothing refers to an item, or None when something does."""
    if place.kind is GarbageKind.ORPHAN:
        return _why_orphan(place, uri, refs)
    if place.kind in (GarbageKind.HISTORY, GarbageKind.EVALUATION) and not place.key.startswith("evaluations/"):
        gone = place.name not in refs.runs and place.name != "-"  # "-": evaluations that belong to no run
        return f"there is no run {place.name}" if gone else None
    if place.name in refs.named or uri in refs.named:
        return None
    if place.kind.shared and refs.preparing:
        return None
    if place.kind is GarbageKind.EVALUATION:
        return "no checkpoint has these weights"
    return "no run, checkpoint or recent request names it"


def _why_orphan(place: _Place, uri: str, refs: References) -> str | None:
    if uri in refs.named or uri in refs.steps:
        return None
    if place.name not in refs.runs:
        return f"there is no run {place.name}"
    step = _STEP.fullmatch(place.key)
    if step is None:
        return None  # nothing that a worker writes: not ours to judge
    working = refs.at_work.get(place.name)
    if working is not None:
        stage = step["attempt"].split("/", 2)[2].rpartition("/")[0]
        if int(step["number"]) >= working.get(stage, 0):
            return None
    return f"attempt {step['number']} left it without registering it"
