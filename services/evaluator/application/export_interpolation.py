"""Exports an interpolation between two checkpoints as a checkpoint of its own, when the orchestrator has chosen one.

The evaluator measures and does not decide; but it is where both ends lie, verified, in memory. What is written is a
pure function of two digests and a point: asked again after a lost reply or a crash, the same bytes come out under the
same name, and there is nothing that two writers could disagree about.
"""

from dataclasses import dataclass

from retain.values import WritePointRequest, WritePointResponse
from services.evaluator.application.ports import InterpolationWriter
from services.evaluator.application.service import EvaluatorService
from services.evaluator.domain.request import check_export


@dataclass(frozen=True, kw_only=True)
class ExportInterpolation:
    """One order at a time, in turn with the measuring: both need the models in memory."""

    writer: InterpolationWriter
    service: EvaluatorService

    async def run(self, order: WritePointRequest) -> WritePointResponse:
        """The written checkpoint and its bytes. Raises InvalidInput, Corrupt, NotFound, FailedPrecondition,
        Unavailable."""
        check_export(order)
        return await self.service.between_measurements(self.writer.write, order)
