"""What a worker may say of itself: figures that the plan of its stage allows.

A worker that is broken, or in the hands of somebody else, must not show a run as further than it can be: people and
estimates go by these figures. Nothing is decided by them, so what does not fit is refused and changes nothing.
"""

from retain.values.faults import mismatch
from services.common.errors import InvalidInput, Violation
from services.orchestrator.domain.run.events import ProgressReported
from services.orchestrator.domain.spec.plan import PlannedStage

SPARE_TOKENS = 1_000_000  # a plan counts whole batches, a worker what was in them


def check_progress(plan: PlannedStage, event: ProgressReported) -> None:
    """Raises InvalidInput for steps and tokens beyond what the stage has. A stage whose length is known only once its
    data are prepared has no end yet."""
    faults = []
    if plan.steps and event.step > plan.steps:
        faults.append(Violation(field="step", description=mismatch(event.step, f"up to {plan.steps}")))
    most = 2 * plan.tokens + SPARE_TOKENS
    if plan.tokens and event.tokens > most:
        faults.append(Violation(field="tokens", description=mismatch(event.tokens, f"up to {most}")))
    if faults:
        raise InvalidInput(faults)
