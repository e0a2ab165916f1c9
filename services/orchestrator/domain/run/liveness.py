"""Whether a worker group still gets anywhere. Waiting for a verdict is not a hang; standing still while training is.

Times are monotonic seconds of this process: after a restart of the orchestrator every group starts with a fresh clock.
"""

from dataclasses import dataclass, replace

from services.orchestrator.domain.run.state import StagePhase

# In every phase but the one in which the worker itself waits for us.
MUST_GROW = tuple(phase for phase in StagePhase if phase is not StagePhase.WAITING)


@dataclass(frozen=True, kw_only=True)
class Liveness:
    """When a group was last heard and last got on. `heard` is False until its first call."""

    submission: int
    heard_at_s: float
    grew_at_s: float
    heard: bool = False
    phase: StagePhase = StagePhase.UNSPECIFIED
    heartbeat: tuple[int, int, int] = (-1, -1, -1)

    @classmethod
    def starting(cls, submission: int, now_s: float) -> "Liveness":
        """A group from which nothing has been heard yet."""
        return cls(submission=submission, heard_at_s=now_s, grew_at_s=now_s)

    def called(self, now_s: float) -> "Liveness":
        """Any call came. It shows that somebody is there, not that work continues."""
        first = self if self.heard else replace(self, grew_at_s=now_s)
        return replace(first, heard=True, heard_at_s=now_s)

    def seen(self, now_s: float) -> "Liveness":
        """Nothing can be said against the group up to now."""
        return replace(self, heard_at_s=now_s, grew_at_s=now_s)

    def reported(
        self, now_s: float, *, phase: StagePhase, heartbeat: tuple[int, int, int], waits: bool = False
    ) -> "Liveness":
        """A progress report came. `heartbeat` = (stage, attempt, count): growth or a change of place is work done, and
        who says what is waited for (`waits`: room on a disk) does not hang."""
        grew = waits or heartbeat != self.heartbeat or phase not in MUST_GROW or phase is not self.phase
        return replace(
            self,
            heard=True,
            heard_at_s=now_s,
            grew_at_s=now_s if grew else self.grew_at_s,
            phase=phase,
            heartbeat=heartbeat,
        )

    def overdue(self, now_s: float, *, stall_timeout_s: float, start_timeout_s: float) -> str | None:
        """Why the group counts as hung, or None."""
        silent_s = now_s - self.heard_at_s
        if not self.heard:
            late = silent_s >= start_timeout_s
            return f"the workers have not called within {start_timeout_s:g} s of their start" if late else None
        if silent_s >= stall_timeout_s:
            return f"nothing was heard from the workers for {silent_s:.0f} s (allowed: {stall_timeout_s:g} s)"
        still_s = now_s - self.grew_at_s
        if self.phase in MUST_GROW and still_s >= stall_timeout_s:
            return f"no progress in {self.phase} for {still_s:.0f} s (allowed: {stall_timeout_s:g} s)"
        return None
