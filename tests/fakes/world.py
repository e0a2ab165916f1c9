"""A small world in which fake workers train and a fake evaluator measures: the weights are a handful of losses.

Training moves the losses: the target's falls, and what is replayed too little is forgotten, by
`strength / (share + 0.05)` nats at the stage's end (the shape that was measured on real models). So the gate, the
ladder and rollbacks have something true to work on, in milliseconds.
"""

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

START_NATS = 4.0


@dataclass
class World:
    """Losses in nats by weights digest. `strength`: how much is forgotten; `steps_per_s`: speed of the fake workers."""

    strength: float = 0.012
    steps_per_s: float = 400.0
    losses: dict[str, Mapping[str, float]] = field(default_factory=dict)
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
        after[target] = now - 0.5 * fraction * lr_scale
        for name, share in shares.items():
            after[name] = after.get(name, START_NATS) + self.strength * lr_scale * fraction / (share + 0.05)
        return after
