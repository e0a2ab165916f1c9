"""Simulated training: fake workers train and a fake evaluator measures, and the weights are a handful of losses.

Training moves the losses: the target's falls, and what is replayed too little is forgotten: its loss goes to
`strength / (share + 0.05)` nats above what it was (the shape that was measured on real models), and falls back when
more of it is replayed. So the gate, the ladder and rollbacks have something true to work on, in milliseconds.
"""

import hashlib
import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

START_NATS = 4.0
PACE = 5.0  # how fast a loss goes where it is going: most of the way within a stage
LEARNT = "*"  # mark of the loss that a set had when it was last learnt


@dataclass
class SimulatedTraining:
    """Losses in nats by weights digest. `strength`: how much is forgotten; `steps_per_s`: speed of the fake workers;
    `unreadable`: checkpoints' URIs whose files nobody can read;
    `unreadable_to_workers`: those that only a worker's machine cannot."""

    strength: float = 0.012
    steps_per_s: float = 400.0
    losses: dict[str, Mapping[str, float]] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    unreadable_to_workers: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def losses_of(self, digest: str) -> dict[str, float]:
        """Losses of some weights by name of set; unknown weights know nothing yet."""
        with self.lock:
            return dict(self.losses.get(digest, {}))

    def remember(self, losses: Mapping[str, float], *salt: object) -> str:
        """Name weights by their losses and where they were made."""
        text = json.dumps([sorted(losses.items()), [str(s) for s in salt]])
        digest = hashlib.sha256(text.encode()).hexdigest()
        with self.lock:
            self.losses[digest] = dict(losses)
        return digest

    def between(self, parent: str, result: str, point: float) -> dict[str, float]:
        """Losses at a point of the line between two weights: towards the result what is learnt comes early, and what is
        forgotten late."""
        start, end = self.losses_of(parent), self.losses_of(result)
        found = {}
        for name, loss in end.items():
            before = start.get(name, START_NATS)
            way = point**0.5 if loss < before else point**2
            found[name] = before + way * (loss - before)
        return found

    def train(
        self,
        losses: Mapping[str, float],
        *,
        target: str,
        shares: Mapping[str, float],
        lr_scale: float,
        fraction: float,
    ) -> dict[str, float]:
        """Losses after another `fraction` of a stage."""
        after = dict(losses)
        now = after.get(target, START_NATS)
        after[target] = after[target + LEARNT] = now - 0.5 * fraction * lr_scale
        for name, share in shares.items():
            learnt = after.get(name + LEARNT, after.get(name, START_NATS))
            bound_for = learnt + self.strength * lr_scale / (share + 0.05)
            now = after.get(name, learnt)
            after[name] = now + (bound_for - now) * -math.expm1(-PACE * fraction)
        return after
