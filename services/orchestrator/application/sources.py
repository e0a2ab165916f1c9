"""Which sources and models a run of this installation may name, told at Create: before a worker opens anything.

    RETAIN_SOURCES="sample:// file:// s3:// hf://*/*"     the default

`sample://` the texts that come with Retain; `file://` local files (below RETAIN_DATA_ROOT where it is set); `s3://` the
installation's own bucket, or `s3://BUCKET/PREFIX/` a part of it; `hf://OWNER/NAME` data sets of the hub, with `*` as in
a shell. What the platform itself keeps in the bucket is nobody's text, whatever is set.

A prefix of the bucket belongs to a project: `projects/NAME/`, and each upload. What lies elsewhere is for the project
`default`, and for all where RETAIN_SOURCES names it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from retain.values import PipelineSpec
from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.common.identity.principal import DEFAULT_PROJECT
from services.common.places import allowed_folders, is_private, local_path, roots_of
from services.common.texts import shown

DEFAULT = "sample:// file:// s3:// hf://*/*"
KINDS = ("sample://", "file://", "s3://", "hf://")
# What runs, the evaluator and the workers write, and a run may not read as text: weights of others, measurements.
KEPT = frozenset({"runs", "evaluations", "evalsets", "floors", "history", "evaluator", "prepared", "tokenizers"})


PROJECTS, UPLOADS = "projects", "uploads"


def upload_folder(project: str, folder: str) -> str:
    """The folder below `uploads/` of what a project calls `folder`: no two projects share one. A folder has no dot."""
    return folder if project == DEFAULT_PROJECT else f"{project}.{folder}"


def owner_of(key: str) -> str | None:
    """The project whose part of the bucket a key lies in; None outside of all of them. A prefix of several is nobody's:
    an empty name."""
    top, _, rest = key.partition("/")
    if top not in (PROJECTS, UPLOADS):
        return None
    folder = rest.partition("/")[0]
    if top == PROJECTS or not folder:
        return folder
    return folder.partition(".")[0] if "." in folder else DEFAULT_PROJECT


@dataclass(frozen=True, kw_only=True)
class SourcePolicy:
    """store_uri: `s3://BUCKET` of the installation; roots: folders of local files, none for all but the system's own;
    local: whether local files may be named at all (not where others than the machine's user submit, without roots)."""

    store_uri: str
    patterns: tuple[str, ...] = tuple(DEFAULT.split())
    roots: tuple[Path, ...] = ()
    local: bool = True

    @classmethod
    def parse(cls, said: str, *, store_uri: str, data_root: str | None, is_loopback: bool) -> "SourcePolicy":
        """From the settings. Raises InvalidInput, which names the pattern."""
        patterns, roots = tuple(said.split()), roots_of(data_root)
        for pattern in patterns:
            if not pattern.startswith(KINDS):
                said = mismatch(shown(pattern), f"patterns that begin with {', '.join(KINDS)}")
                raise InvalidInput([Violation(field="RETAIN_SOURCES", description=said)])
        return cls(store_uri=store_uri, patterns=patterns, roots=roots, local=is_loopback or bool(roots))

    def violations(self, spec: PipelineSpec, project: str = DEFAULT_PROJECT) -> tuple[Violation, ...]:
        """Every place of a spec that this installation does not let a run of the project read."""
        found = []
        for field, place in _places(spec):
            if place and (why := self.fault_of(place, project)):
                found.append(Violation(field=field, description=why))
        return tuple(found)

    def fault_of(self, place: str, project: str = DEFAULT_PROJECT) -> str | None:
        """Why a place may not be read by a project ("got ...; expected ..."), or None."""
        base = place.partition("?")[0]
        scheme = f"{base.partition('://')[0]}://" if "://" in base else "file://"
        path = local_path(place)
        if path is not None:
            return self._fault_of_file(place, path)
        if scheme == "s3://":
            return self._fault_of_object(place, base, project)
        if scheme in KINDS and not any(fnmatchcase(base, _glob(pattern)) for pattern in self._of(scheme)):
            known = ", ".join(self._of(scheme)) or f"no {scheme}; here are {', '.join(self.patterns)}"
            return mismatch(shown(place), f"{known} (RETAIN_SOURCES)")
        return None  # a scheme that nobody knows is refused by the checks of the spec

    def _fault_of_file(self, place: str, path: Path) -> str | None:
        if not self._of("file://"):
            return mismatch(shown(place), f"{', '.join(self.patterns)} (RETAIN_SOURCES)")
        if not self.local:
            said = "no local file: this installation names no folder of data (RETAIN_DATA_ROOT)"
            return mismatch(shown(place), said)
        inside = any(path.is_relative_to(root) for root in self.roots) if self.roots else not is_private(path)
        if ".." in path.parts or not inside:
            return mismatch(shown(place), allowed_folders(self.roots))
        return None

    def _fault_of_object(self, place: str, base: str, project: str) -> str | None:
        if not f"{base}/".startswith(f"{self.store_uri}/"):
            return mismatch(shown(place), f"the bucket of this installation, {self.store_uri}/...")
        key = base.removeprefix(self.store_uri).strip("/")
        if not key or key.partition("/")[0] in KEPT:
            return mismatch(shown(place), "text that was uploaded, not what the platform keeps in its bucket")
        own = [pattern for pattern in self._of("s3://") if pattern != "s3://"]
        if not self._of("s3://") or (own and not any(f"{base}/".startswith(pattern) for pattern in own)):
            return mismatch(shown(place), f"{', '.join(self._of('s3://')) or 'no s3://'} (RETAIN_SOURCES)")
        owner = owner_of(key)
        if owner != project and not (owner is None and (own or project == DEFAULT_PROJECT)):
            mine = f"{self.store_uri}/{PROJECTS}/{project}/..."
            return mismatch(shown(place), f"what project {project} uploaded, or {mine}")
        return None

    def _of(self, scheme: str) -> list[str]:
        return [pattern for pattern in self.patterns if pattern.startswith(scheme)]


def _glob(pattern: str) -> str:
    return f"{pattern}*" if pattern.endswith("://") else pattern


def _places(spec: PipelineSpec) -> Iterator[tuple[str, str]]:
    for index, stage in enumerate(spec.stages):
        for role in ("general", "domain", "chat"):
            yield f"stages[{index}].data.{role}", getattr(stage.data, role)
    for name, place in spec.forgetting.retention.items():
        yield f"forgetting.retention[{name}]", place
    yield "model.huggingface", spec.model.huggingface or ""
