"""When what failed is tried again: one value for every retry loop, carried out by tenacity."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tenacity


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Pauses that grow by a factor up to a bound.

    interval_s   pause after the first failed try
    coefficient  what each further pause is longer by
    maximum_s    longest pause
    tries        how often at most, the first one included; None: whoever uses the policy says when it is enough
    is_retried   whether a later try may mend an error; any other one is raised at once
    jitter       each pause is drawn between 0 and its length, so that many who failed together do not return together
    """

    interval_s: float
    maximum_s: float
    is_retried: Callable[[BaseException], bool]
    coefficient: float = 2.0
    tries: int | None = None
    jitter: bool = False

    def pause_s(self, failed: int) -> float:
        """Seconds after so many failed tries (from 1), the longest where there is jitter."""
        try:
            grown_s = self.interval_s * self.coefficient ** (failed - 1)
        except OverflowError:
            return self.maximum_s
        return min(self.maximum_s, grown_s)

    def options(self) -> dict[str, Any]:
        """What `tenacity.Retrying` and `tenacity.AsyncRetrying` take. The last error is raised as it is."""
        growing = tenacity.wait_random_exponential if self.jitter else tenacity.wait_exponential
        return {
            "retry": tenacity.retry_if_exception(self.is_retried),
            "wait": growing(multiplier=self.interval_s, max=self.maximum_s, exp_base=self.coefficient),
            "stop": tenacity.stop_never if self.tries is None else tenacity.stop_after_attempt(self.tries),
            "reraise": True,
        }
