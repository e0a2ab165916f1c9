"""From a sweep to its runs: looked at whole before the first one, then submitted, so many at a time, until all ended.

Nothing is remembered here. A run is asked for by a name that follows from the sweep, its settings and its seed, and the
server answers with the run that this name made before, if there is one: so the same command resumes a sweep, whatever
ended it, and two copies of it make no run twice.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ui.client.client import RetainClient
from ui.client.errors import BadInput, ClientError, MissingExtra, Violation
from ui.client.views import Plan, Run
from ui.local.preflight import check_local
from ui.local.upload import place_local_sources
from ui.spec.file import local_sources
from ui.sweep.file import PlannedRun, Sweep
from ui.updates import patiently

PAUSE_S = 2.0  # between two looks at the runs that have not ended
_ENDED = ("FAILED", "CANCELLED")


@dataclass(frozen=True, kw_only=True)
class CellPlan:
    """What the server would do with a run of a cell; the seed changes nothing of it."""

    settings: dict[str, Any]
    plan: Plan

    @property
    def tokens(self) -> int | None:
        """Tokens of its stages; None where only preparing can tell (epochs)."""
        found = [stage.tokens for stage in self.plan.stages]
        return sum(found) if all(found) else None

    @property
    def seconds(self) -> float | None:
        """Of training and boundaries as the plan estimates them; None where it cannot."""
        found = [stage.boundary_cost for stage in self.plan.stages]
        known = [cost.training_seconds + cost.boundary_seconds for cost in found if cost is not None]
        return sum(known) if len(known) == len(found) else None


@dataclass(kw_only=True)
class Submitter:
    """The calls that a sweep makes. `send`: local data is uploaded, not read where it is."""

    client: RetainClient
    sweep: Sweep
    send: bool
    priority: int = 0
    say: Callable[[str], None] = lambda _: None
    _placed: dict[str, str] = field(default_factory=dict)
    _looked_at: dict[str, tuple[Violation, ...]] = field(default_factory=dict)

    def look(self, *, place: bool = True) -> list[CellPlan]:
        """The plan of each cell. Raises BadInput with the faults of every cell, each fault once, before anything is
        submitted. `place`: local data is placed for the workers on the way."""
        plans: list[CellPlan] = []
        faults: dict[Violation, str] = {}
        for number, settings in enumerate(self.sweep.cells, start=1):
            tree = self.sweep.planned(settings, self.sweep.seeds[0]).tree
            found = self._local_faults(tree)
            if place and not found:
                self._place(tree)
            plan, told = self.client.validate(tree, priority=self.priority)
            for fault in (*found, *told):
                faults.setdefault(fault, f"cell {number}")
            if plan is not None:
                plans.append(CellPlan(settings=settings, plan=plan))
        if faults:
            raise BadInput(
                [Violation(field=f.field, description=f"{f.description} ({cell})") for f, cell in faults.items()]
            )
        return plans

    def run_all(
        self, *, at_most: int, retry: bool = False, pause_s: float = PAUSE_S
    ) -> Iterator[tuple[PlannedRun, Run]]:
        """Submits every run, at most so many that have not settled at a time, and gives each whenever its state is
        another one, until all have settled (ended, or waiting for a person). With `retry` a run that FAILED or was
        CANCELLED before resumes from its last checkpoint. Raises ClientError."""
        waiting, unsettled = list(self.sweep.runs()), dict[str, tuple[PlannedRun, Run]]()
        while waiting or unsettled:
            while waiting and len(unsettled) < at_most:
                run = self._submitted(waiting[0], others=bool(unsettled), retry=retry)
                if run is None:
                    break  # the project's quota has no room until one of ours has ended
                planned = waiting.pop(0)
                yield planned, run
                if not run.is_settled:
                    unsettled[run.id] = (planned, run)
            if not unsettled:
                continue
            time.sleep(pause_s)
            for run_id, (planned, before) in list(unsettled.items()):
                now = patiently(partial(self.client.get_run, run_id))
                if now.state != before.state:
                    yield planned, now
                unsettled[run_id] = (planned, now)
                if now.is_settled:
                    del unsettled[run_id]

    def _submitted(self, planned: PlannedRun, *, others: bool, retry: bool) -> Run | None:
        """The run, new or made before; None where it has to wait for one of the `others` to end."""
        self._place(planned.tree)
        create = partial(self.client.create_run, request_id=planned.request_id, priority=self.priority)
        try:
            run = patiently(partial(create, planned.tree))
            again = retry and run.state in _ENDED
            return patiently(partial(self.client.retry, run.id)) if again else run
        except ClientError as error:
            if error.reason == "QUOTA_EXCEEDED" and others:
                return None
            if error.reason == "REQUEST_ID_REUSED":
                raise _another_spec(planned, error) from error
            raise

    def _local_faults(self, tree: dict[str, Any]) -> tuple[Violation, ...]:
        """What is wrong with the local data of a cell; cells that read the same data are looked at once."""
        stages = tree.get("stages")
        read = [
            {key: stage.get(key) for key in ("kind", "domain", "domain_options", "data")}
            for stage in (stages if isinstance(stages, list) else [])
            if isinstance(stage, dict)
        ]
        forgetting = tree.get("forgetting")
        retention = forgetting.get("retention") if isinstance(forgetting, dict) else None
        key = json.dumps([tree.get("model"), read, retention], default=str)
        if key not in self._looked_at:
            try:
                self._looked_at[key] = check_local(tree, self.sweep.spec_path, sent=self.send).violations
            except MissingExtra as error:
                self._looked_at[key] = error.violations
                self.say(f"the local data is not checked before it is used: {error.message}")
        return self._looked_at[key]

    def _place(self, tree: dict[str, Any]) -> None:
        """Local paths as the workers can read them; the same path is hashed and sent once."""
        for holder, key, _ in list(local_sources(tree)):
            holder[key] = self._placed.get(f"{key} {holder[key]}", holder[key])
        before = [(holder, key, str(holder[key])) for holder, key, _ in local_sources(tree)]
        place_local_sources(self.client, tree, self.sweep.spec_path, send=self.send, say=self.say)
        self._placed.update({f"{key} {was}": holder[key] for holder, key, was in before})


def _another_spec(planned: PlannedRun, error: ClientError) -> BadInput:
    said = f"{error.message}; a sweep whose specification was changed needs a name of its own"
    return BadInput([Violation(field=f"sweep {planned.sweep}", description=said)])
