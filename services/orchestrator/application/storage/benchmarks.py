"""What benchmark harnesses found of checkpoints: kept in the store beside the measurements of the same weights.

    evaluations/{weights digest}/benchmark.{manifest digest}.{project}.{id}.json

The id is the digest of what a benchmark says, so the same again changes nothing. It goes when nothing names the weights
any more. A checkpoint that is shared shows its owner's benchmarks.
"""

import hashlib
import json
from dataclasses import replace

from retain.values import Benchmark, CheckpointRef
from retain.values.faults import mismatch
from services.common.concurrency.blocking import Blocking
from services.common.errors import Corrupt, InvalidInput, NotFound, Violation
from services.common.identity.principal import current_principal
from services.common.logging import get_logger
from services.common.plain import from_plain, to_plain
from services.common.store.object_store import ObjectStore
from services.common.versions import Versions
from services.orchestrator.application.projects.scope import ScopedRunStore
from services.orchestrator.domain.run.state import Checkpoint

STORE_LIMIT_S = 60.0
MOST = 1000  # of one checkpoint: more are refused, since a list reads each
_VERSIONS = Versions(current=1, upcasters={})
log = get_logger(__name__)


class BenchmarkService:
    """The use cases of RecordBenchmark and ListBenchmarks."""

    def __init__(self, run_store: ScopedRunStore, store: ObjectStore) -> None:
        self._run_store, self._store = run_store, store
        self._files = Blocking("benchmarks", threads=2, limit_s=STORE_LIMIT_S)

    def close(self) -> None:
        """Give up the threads."""
        self._files.close()

    async def record(self, key: str, given: Benchmark) -> Benchmark:
        """Keep one of a checkpoint of one's own projects. Raises InvalidInput, NotFound."""
        checkpoint = await self._run_store.read(self._run_store.repository.find_own_checkpoint, key)
        _check(given, checkpoint.ref)
        said = replace(given, id="", checkpoint=checkpoint.ref, create_time_s=0.0, subject="")
        digest = hashlib.sha256(json.dumps(to_plain(said), sort_keys=True).encode()).hexdigest()[:32]
        caller = current_principal()
        now_s = self._run_store.clock.now_s()
        kept = replace(said, id=digest, create_time_s=now_s, subject=caller.subject if caller is not None else "")
        return await self._files(self._put, _prefix(checkpoint), kept)

    async def all(self, key: str) -> list[Benchmark]:
        """Those of a checkpoint, newest first. Raises NotFound."""
        checkpoint = await self._run_store.read(self._run_store.repository.find_checkpoint, key)
        found = await self._files(self._read_all, _prefix(checkpoint))
        return sorted(found, key=lambda one: (one.create_time_s, one.id), reverse=True)

    def _put(self, prefix: str, new: Benchmark) -> Benchmark:
        where = f"{prefix}{new.id}.json"
        if self._store.stat(where) is None:
            count = sum(1 for _ in self._store.list(prefix))
            if count >= MOST:
                said = mismatch(f"one more of a checkpoint that has {count}", f"up to {MOST}")
                raise InvalidInput([Violation(field="benchmark", description=said)])
        document = json.dumps(_VERSIONS.stamp(to_plain(new))).encode()
        return new if self._store.put_if_absent(where, document) else self._read(where)

    def _read_all(self, prefix: str) -> list[Benchmark]:
        found = []
        for info in self._store.list(prefix):
            try:
                found.append(self._read(info.key))
            except (Corrupt, NotFound) as error:  # deleted meanwhile, or changed by somebody: the others are shown
                log.warning("a benchmark cannot be read", key=info.key, error=error.message)
        return found

    def _read(self, where: str) -> Benchmark:
        try:
            return from_plain(Benchmark, _VERSIONS.read(json.loads(self._store.get_bytes(where))))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Corrupt(f"{where} is no benchmark: {error!r}", reason="BAD_DOCUMENT") from error


def _prefix(checkpoint: Checkpoint) -> str:
    ref = checkpoint.ref
    return f"evaluations/{ref.weights_digest}/benchmark.{ref.manifest_sha256[:32]}.{checkpoint.project}."


def _check(given: Benchmark, ref: CheckpointRef) -> None:
    """Raises InvalidInput with every fault."""
    faults = []
    for name in ("manifest_sha256", "weights_digest"):
        came = getattr(given.checkpoint, name)
        if came and came != getattr(ref, name):
            said = mismatch(repr(came), f"{getattr(ref, name)}, which is registered")
            faults.append(Violation(field=f"benchmark.checkpoint.{name}", description=said))
    if not given.harness:
        faults.append(Violation(field="benchmark.harness", description=mismatch("none", "the harness's name")))
    if not given.tasks:
        faults.append(Violation(field="benchmark.tasks", description=mismatch("none", "one task or more")))
    for number, task in enumerate(given.tasks):
        if not task.task or not task.metrics:
            said = mismatch(f"{task.task!r} with {len(task.metrics)} figures", "a name and one figure or more")
            faults.append(Violation(field=f"benchmark.tasks[{number}]", description=said))
    if faults:
        raise InvalidInput(faults)
