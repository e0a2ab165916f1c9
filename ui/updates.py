"""A run as it changes: each change with the decisions that came with it. For the command, the panel and notebooks."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ui.client.errors import Unreachable
from ui.client.views import Decision, Run

PATIENCE_S = 120.0  # how long the last decisions of a run are waited for when the server is away
PAUSE_S = 1.0
Answer = TypeVar("Answer")


class RunSource(Protocol):
    """The calls of the client that following needs."""

    def watch(self, run_id: str, *, sequence: int = 0, timeout_s: float | None = None) -> Iterator[Run]: ...
    def decisions(self, run_id: str) -> list[Decision]: ...


@dataclass(frozen=True, kw_only=True)
class Update:
    """A run after a change, whole, and the decisions that were made since the update before, oldest first."""

    run: Run
    decisions: tuple[Decision, ...] = ()


def updates(
    client: RunSource,
    run_id: str,
    *,
    through_suspension: bool = False,
    timeout_s: float | None = None,
    patience_s: float = PATIENCE_S,
) -> Iterator[Update]:
    """Every change of a run until it has ended or waits for a person; `through_suspension`: only until it has ended.

    The first update is the run as it is, with every decision so far. Each decision comes once, in order. A server that
    goes away is looked for again (see `RetainClient.watch`). After `timeout_s` seconds the updates end with the run as
    it then is. Raises what the client raises.
    """
    seen, last_mark = 0, None
    for run in client.watch(run_id, timeout_s=timeout_s):
        is_last = run.is_terminal or (run.is_settled and not through_suspension)
        # Decisions change what a stage's status says; asking only then keeps the traffic down.
        mark = [(s.state, s.attempt, s.retries, s.forgetting, s.lr_scale, s.latest, s.accepted) for s in run.stages]
        made: tuple[Decision, ...] = ()
        if mark != last_mark or run.is_settled:
            found = _decisions(client, run_id, patience_s if is_last else 0.0)
            if found is not None:
                last_mark = mark
                made = tuple(decision for decision in found if decision.number > seen)
                seen = max((decision.number for decision in made), default=seen)
        yield Update(run=run, decisions=made)
        if is_last:
            return


def patiently(call: Callable[[], Answer], patience_s: float = PATIENCE_S) -> Answer:
    """What a call answers; a server that is away is asked again for so long. Raises what the call raises."""
    end_s = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except Unreachable:
            if time.monotonic() >= end_s:
                raise
            time.sleep(PAUSE_S)


def _decisions(client: RunSource, run_id: str, patience_s: float) -> list[Decision] | None:
    """All decisions; None where the server is away and there is a later update to ask with."""
    try:
        return patiently(lambda: client.decisions(run_id), patience_s)
    except Unreachable:
        if patience_s:
            raise
        return None
