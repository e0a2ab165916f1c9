"""What a sweep's file asks for: which specification, which fields with which values, which seeds.

    name: replay-share            # of the sweep; its runs carry it as the label `sweep`
    spec: three-stage.yaml        # a file beside this one, or the specification itself
    grid:                         # paths of fields, as for --set, each with the values to try
      stages.1.data.general_share: [0.02, 0.1, 0.3]
      forgetting.controller: [LADDER, ANTICIPATE]
    arms:                         # instead of a grid or beside it: fields that change together, under a name
      plain: {stages.1.data.general_share: 0, forgetting.mitigate: false}
      adapters: {stages.1.lora.rank: 16}
    seeds: [0, 1, 2]              # left out: the specification's own
    at_most: 2                    # runs that have not ended, at one time; left out: 4

Every combination of an arm and values is a cell; the first arm and the first value of each field make the first cell,
which the others are compared with. A cell has a run for each seed. What names a run is the sweep, the cell's settings
(of an arm its name) and the seed: so a sweep that is asked for again finds the runs that it has, also when arms, values
or seeds were added to it.
"""

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from retain.values.faults import mismatch
from ui.client.errors import BadInput, Violation
from ui.spec.file import apply_override, find_local, keys_of, load_mapping, load_spec, set_field

SWEEP_LABEL, SETTINGS_LABEL = "sweep", "sweep-settings"
AT_MOST = 4
MOST_RUNS = 1000
_MOST_SETTINGS_CHARACTERS = 1024  # of a label
ARM = "arm"  # among the settings of a cell: the name of its arm
_FIELDS = ("name", "spec", "grid", "arms", "seeds", "at_most")
_OWN = ("seed", "labels", ARM)  # fields that a sweep sets itself
_A_FIELD = "the path of a field other than seed and labels (`seeds` has those)"
_NAME = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of a sweep: the settings of its cell (field by field), its seed, and its specification."""

    sweep: str
    settings: Mapping[str, Any]
    seed: int
    tree: dict[str, Any] = field(repr=False)

    @property
    def request_id(self) -> str:
        """The same for the same sweep, settings and seed: asked for twice, it is one run."""
        digest = hashlib.sha256(f"{settings_label(self.settings)}, seed {self.seed}".encode()).hexdigest()
        return f"sweep-{self.sweep}-{digest[:24]}"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep as its file has it. `spec_path`: the file that local paths of the specification are relative to."""

    name: str
    spec: dict[str, Any] = field(repr=False)
    spec_path: str
    grid: Mapping[str, Sequence[Any]]
    seeds: tuple[int, ...]
    at_most: int = AT_MOST
    arms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The settings of each cell, the first arm and the first values first."""
        axes = {ARM: list(self.arms), **self.grid} if self.arms else self.grid
        return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]

    def of_arms(self, names: Sequence[str]) -> "Sweep":
        """The sweep with these arms alone, in the order of the file; without names with all. Raises BadInput."""
        unknown = [name for name in names if name not in self.arms]
        if unknown:
            known = ", ".join(self.arms) or "none: this sweep has no arms"
            raise BadInput([_fault("--arm", ", ".join(map(repr, unknown)), known)])
        return replace(self, arms={name: arm for name, arm in self.arms.items() if not names or name in names})

    def runs(self) -> Iterator[PlannedRun]:
        """Every run; seed by seed, so that the whole table has figures as early as can be. Raises BadInput."""
        for seed in self.seeds:
            for settings in self.cells:
                yield self.planned(settings, seed)

    def planned(self, settings: Mapping[str, Any], seed: int) -> PlannedRun:
        """The run of a cell and a seed. Raises BadInput for a setting that has no place in the specification."""
        tree = copy.deepcopy(self.spec)
        for path, value in self.arms.get(settings.get(ARM, ""), {}).items():
            set_field(tree, keys_of(path), copy.deepcopy(value), where=f"arms.{settings[ARM]}")
        for path, value in settings.items():
            if path != ARM:
                set_field(tree, keys_of(path), copy.deepcopy(value), where="grid")
        tree["seed"] = seed
        labels = tree.get("labels")
        own = {SWEEP_LABEL: self.name, SETTINGS_LABEL: settings_label(settings)}
        tree["labels"] = {**(labels if isinstance(labels, dict) else {}), **own}
        return PlannedRun(sweep=self.name, settings=settings, seed=seed, tree=tree)


def load_sweep(path: str, changes: Sequence[str] = ()) -> Sweep:
    """The sweep of a YAML file (`-`: standard input); `changes` of its specification as for --set.

    Raises BadInput with every fault of the sweep's own fields at once.
    """
    tree = load_mapping(path, ", ".join(_FIELDS))
    faults = [Violation(field=str(key), description=_unknown()) for key in tree if key not in _FIELDS]
    name = tree.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        faults.append(_fault("name", repr(name), "1 to 63 characters of a-z, 0-9 and '-', the first and last no '-'"))
    grid = _grid(tree.get("grid"), faults)
    arms = _arms(tree.get("arms"), faults)
    at_most = tree.get("at_most", AT_MOST)
    if not _is_whole(at_most) or not 1 <= at_most <= MOST_RUNS:
        faults.append(_fault("at_most", repr(at_most), f"a whole number from 1 to {MOST_RUNS:,}"))
    given: Any = tree.get("spec")
    if not isinstance(given, str | dict):
        faults.append(_fault("spec", repr(given), "the path of a specification, or the specification itself"))
    seeds = _seeds(tree["seeds"], faults) if tree.get("seeds") is not None else ()
    if faults:
        raise BadInput(faults)
    spec, spec_path = _spec(given, path)
    for change in changes:
        apply_override(spec, change)
    own_seed = spec.get("seed") or 0  # a seed that is none is told with the other faults of the specification
    sweep = Sweep(
        name=str(name),
        spec=spec,
        spec_path=spec_path,
        grid=grid,
        seeds=seeds or (own_seed,),
        at_most=at_most,
        arms=arms,
    )
    _check_size(sweep)
    return sweep


def settings_label(settings: Mapping[str, Any]) -> str:
    """The settings of a cell as its runs' label has them: JSON, which `settings_of` reads."""
    return json.dumps(settings, ensure_ascii=False, separators=(",", ":"), default=str)


def settings_of(label: str) -> dict[str, Any]:
    """The settings that a label holds; what is none (somebody wrote it by hand) stands for itself."""
    try:
        found = json.loads(label)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"": label}


def _grid(given: Any, faults: list[Violation]) -> dict[str, list[Any]]:
    """Values by path, in one way of writing paths."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        faults.append(_fault("grid", repr(given), "a mapping of fields to lists of values"))
        return {}
    found: dict[str, list[Any]] = {}
    for written, values in given.items():
        keys = keys_of(str(written))
        path, where = ".".join(keys), f"grid.{written}"
        if not _is_field(keys):
            faults.append(_fault(where, repr(written), _A_FIELD))
        elif path in found:
            faults.append(_fault(where, "the same field twice", "each once"))
        elif not isinstance(values, list) or not values:
            faults.append(_fault(where, repr(values), "a list of at least one value"))
        elif len({json.dumps(value, default=str) for value in values}) < len(values):
            faults.append(_fault(where, repr(values), "values that differ"))
        else:
            found[path] = values
    return found


def _arms(given: Any, faults: list[Violation]) -> dict[str, dict[str, Any]]:
    """Values by path, in one way of writing paths, for each name of an arm."""
    if given is None:
        return {}
    if not isinstance(given, dict) or not given:
        faults.append(_fault("arms", repr(given), "a mapping of names to fields with their values"))
        return {}
    found: dict[str, dict[str, Any]] = {}
    for name, fields in given.items():
        where = f"arms.{name}"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            faults.append(_fault(where, repr(name), "1 to 63 characters of a-z, 0-9 and '-'"))
        elif not isinstance(fields, dict | None):
            faults.append(_fault(where, repr(fields), "fields with their values (none: the specification as it is)"))
        else:
            paths = {str(written): keys_of(str(written)) for written in fields or {}}
            wrong = [written for written, keys in paths.items() if not _is_field(keys)]
            faults += [_fault(f"{where}.{written}", repr(written), _A_FIELD) for written in wrong]
            found[name] = {".".join(paths[str(written)]): value for written, value in (fields or {}).items()}
    return found


def _is_field(keys: Sequence[str]) -> bool:
    return bool(keys) and keys[0] not in _OWN


def _seeds(given: Any, faults: list[Violation]) -> tuple[int, ...]:
    good = isinstance(given, list) and given and all(_is_whole(seed) and seed >= 0 for seed in given)
    if not good or len(set(given)) < len(given):
        faults.append(_fault("seeds", repr(given), "a list of whole numbers from 0 that differ"))
        return ()
    return tuple(given)


def _spec(given: str | dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The specification and the file that its local paths are relative to."""
    if isinstance(given, dict):
        return given, path
    found = find_local(given, path)
    if found is None:
        raise BadInput([_fault("spec", f"{given!r}, which does not exist here", "the path of a specification")])
    shown = Path(given) if Path(given).expanduser().resolve() == found else found
    return load_spec(str(shown)), str(shown)


def _check_size(sweep: Sweep) -> None:
    """Raises BadInput before anything is made of a sweep that is too large."""
    count = len(sweep.seeds) * max(1, len(sweep.arms))
    for values in sweep.grid.values():
        count *= len(values)
    if count > MOST_RUNS:
        raise BadInput([_fault("grid", f"{count:,} runs", f"up to {MOST_RUNS:,}")])
    longest = max(len(settings_label(settings)) for settings in sweep.cells)
    if longest > _MOST_SETTINGS_CHARACTERS:
        expected = f"up to {_MOST_SETTINGS_CHARACTERS:,} for a cell, which is what a label holds"
        raise BadInput([_fault("grid", f"settings of {longest:,} characters", expected)])


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _unknown() -> str:
    return mismatch("an unknown field", ", ".join(_FIELDS))


def _fault(place: str, got: str, expected: str) -> Violation:
    return Violation(field=place, description=mismatch(got, expected))
