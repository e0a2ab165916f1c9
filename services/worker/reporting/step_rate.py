"""Tokens per second of training: over the steps' own time, and none while nothing moves.

A step's own time runs from the step before it (or from the moment in which training began or continued after a wait) to
its end. Waiting for an upload or a verdict belongs to no step. A rate over the interval of a report would show the
tokens of a step of twenty seconds as if they had come within the two seconds in which the step happened to end.
"""

from collections import deque

WINDOW_S = 10.0  # steps of so long are averaged: short ones flicker, a long one stands for itself
STILL_AFTER = 3.0  # times the mean step without the next one: nothing moves


class StepRate:
    """Steps as they end; times are monotonic seconds."""

    def __init__(self) -> None:
        self.train_s = 0.0  # of all steps, their own time
        self._steps: deque[tuple[int, float]] = deque()  # tokens, own seconds
        self._since_s: float | None = None

    def training(self, now_s: float) -> None:
        """From now on a step is being done."""
        self._since_s = now_s

    def paused(self) -> None:
        """Something else is being done."""
        self._since_s = None

    def step(self, tokens: int, now_s: float) -> None:
        """A step of so many tokens has ended; the next one begins."""
        if self._since_s is not None and now_s > self._since_s:
            self.train_s += now_s - self._since_s
            self._steps.append((tokens, now_s - self._since_s))
            while sum(seconds for _, seconds in self._steps) - self._steps[0][1] >= WINDOW_S:
                self._steps.popleft()
        self._since_s = now_s

    def tokens_per_second(self, now_s: float) -> float:
        """0 while nothing moves: before the first step, while something else is done, or when a step does not end."""
        if self._since_s is None or not self._steps:
            return 0.0
        seconds = sum(seconds for _, seconds in self._steps)
        if now_s - self._since_s > max(WINDOW_S, STILL_AFTER * seconds / len(self._steps)):
            return 0.0
        return sum(tokens for tokens, _ in self._steps) / seconds
