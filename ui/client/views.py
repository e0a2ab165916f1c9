"""What the services say, as plain frozen data for the command, the panel and Python: the values of `retain.values`.

The five that have a name of their own for people also have the whole message that they came in, as their `resource`.
An absent optional value is None; a value of an enum is a text without its prefix, and UNSPECIFIED is false.
"""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message

from retain import values
from retain.values import (
    Benchmark,
    BenchmarkMetric,
    BenchmarkTask,
    BoundaryCost,
    CheckpointRef,
    DataPreview,
    EvalSetRef,
    ExportedFile,
    FileEvaluation,
    FileResult,
    ForgettingScore,
    GarbageItem,
    MemoryEstimate,
    MetricSeries,
    PlannedStage,
    PreparedFolder,
    RunStatus,
    SetResult,
    SystemStatus,
)
from retain.values import CollectGarbageResponse as Garbage
from retain.values import CreateUploadResponse as Upload
from retain.values import ExportCheckpointResponse as Export
from retain.values import GetSystemStatusResponse as System
from retain.values import SampleTextResponse as SampledPiece
from retain.values import StageStatus as Stage
from retain.values import StreamLogsResponse as LogText
from ui.client.convert import json_mapping, stated

__all__ = [
    "Benchmark",
    "BenchmarkMetric",
    "BenchmarkTask",
    "BoundaryCost",
    "Checkpoint",
    "CheckpointRef",
    "DataPreview",
    "Decision",
    "EvalSetRef",
    "Export",
    "ExportedFile",
    "FileEvaluation",
    "FileResult",
    "ForgettingRecord",
    "ForgettingScore",
    "Garbage",
    "GarbageItem",
    "LogText",
    "MemoryEstimate",
    "MetricSeries",
    "Plan",
    "PlannedStage",
    "PreparedFolder",
    "Run",
    "RunStatus",
    "SampledPiece",
    "SetResult",
    "Stage",
    "System",
    "SystemStatus",
    "Upload",
]


class Told:
    """What a service said of something, with the message in which it said so."""

    @property
    def resource(self) -> dict[str, Any]:
        """The whole message in protobuf's JSON mapping, with the field names of the spec; of one that came in no
        message, nothing."""
        message: Message | None = vars(self).get("_told")
        return {} if message is None else json_mapping(message)


class Run(values.PipelineRun, Told):
    """A pipeline run."""

    @property
    def own_spec(self) -> dict[str, Any]:
        """Its own specification as a file would state it: every default filled in, and nothing empty."""
        message: Any = vars(self).get("_told")
        return {} if message is None else stated(message.spec)

    @property
    def name(self) -> str:
        """As its spec has it."""
        return self.spec.name

    @property
    def state(self) -> values.RunState:
        """How it stands."""
        return self.status.state

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Its stages, in order."""
        return self.status.stages

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more happens unless someone retries it."""
        return self.state.ended

    @property
    def is_settled(self) -> bool:
        """Whether it waits for a person or has ended."""
        return self.is_terminal or self.state is values.RunState.SUSPENDED

    @property
    def create_time(self) -> datetime | None:
        """When it was created."""
        return moment(self.create_time_s)

    @property
    def update_time(self) -> datetime | None:
        """When it last changed."""
        return moment(self.update_time_s)

    @property
    def end_time(self) -> datetime | None:
        """When it ended."""
        return moment(self.end_time_s)


class Decision(values.Decision, Told):
    """One decision of the gate or of a person, with its evidence."""

    @property
    def time(self) -> datetime | None:
        """When it was made."""
        return moment(self.time_s)


class Checkpoint(values.Checkpoint, Told):
    """One checkpoint in the lineage."""

    @property
    def create_time(self) -> datetime | None:
        """When it was accepted into the lineage."""
        return moment(self.create_time_s)

    @property
    def standing(self) -> str:
        """Its state in words, with what there is to say about it."""
        state = f"{self.state.lower()}, interim" if self.interim else self.state.lower()
        return f"{state}: {self.message}" if self.message else state


class ForgettingRecord(values.ForgettingRecord, Told):
    """One row of the measured history of a run."""

    @property
    def time(self) -> datetime | None:
        """When it was measured."""
        return moment(self.time_s)


class Plan(values.PipelinePlan, Told):
    """What a spec would do, with every default filled in."""


def moment(time_s: float | None) -> datetime | None:
    """Unix seconds as a time in UTC; None for a time that was not said."""
    return datetime.fromtimestamp(time_s, UTC) if time_s else None
