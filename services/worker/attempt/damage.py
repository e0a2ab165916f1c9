"""What the store holds, and is not what it is to be: found when it is loaded, told to the orchestrator by name."""

from retain.types.v1 import values_pb2
from services.common.errors import CheckpointDamaged, Corrupt


class DamagedCheckpoint(CheckpointDamaged):
    """A checkpoint whose files are not those of its manifest, or whose manifest is not the registered one. Another
    attempt resumes from the one before."""

    def __init__(self, ref: values_pb2.CheckpointRef, why: str) -> None:
        super().__init__(f"the checkpoint {ref.uri} is damaged: {why}")
        self._ref, self._why = ref.SerializeToString(), why

    @property
    def checkpoint(self) -> values_pb2.CheckpointRef:
        """Which one."""
        return values_pb2.CheckpointRef.FromString(self._ref)

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel between the ranks of a worker group."""
        return DamagedCheckpoint, (self.checkpoint, self._why)


class DamagedData(Corrupt):
    """Prepared data whose copy in the store is broken. It is marked there, so that preparing makes it anew."""

    reason = "PREPARED_DATA_DAMAGED"

    def __init__(self, uri: str, why: str) -> None:
        super().__init__(
            f"the prepared data at {uri} is damaged: {why}. The next run of this spec (`retain run`) prepares it anew; "
            "after that `retain retry` lets this one continue"
        )
        self._uri, self._why = uri, why

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel between the ranks of a worker group."""
        return DamagedData, (self._uri, self._why)
