"""Who gets which keys of the object store: a run's worker group those of its run, the evaluator its own."""

from services.common.concurrency.blocking import Blocking
from services.common.errors import InvalidInput
from services.common.store.object_store import parse_s3_uri
from services.common.store.policies import Policy, evaluator_policy, run_policy
from services.common.store.store_keys import IssueKeys, StoreKeys
from services.orchestrator.application.run_store import RunStore
from services.orchestrator.domain.run import fence
from services.orchestrator.domain.run.references import inputs_of

LIMIT_S = 20.0


class StoreKeyService:
    """Asks the store for narrow keys. `issue` blocks; nothing of what it returns is kept here."""

    def __init__(self, run_store: RunStore, bucket: str, issue: IssueKeys) -> None:
        self._run_store, self._bucket, self._issue = run_store, bucket, issue
        self._threads = Blocking("store_keys", threads=4, limit_s=LIMIT_S)

    def close(self) -> None:
        """Give up the threads."""
        self._threads.close()

    async def of_run(self, run_id: str, submission: int) -> StoreKeys:
        """Keys of a run, for its present worker group. Raises NotFound, Stale, FailedPrecondition, Unavailable."""
        state = await self._run_store.get(run_id)
        fence.check_submission(state, submission)
        reads = [key for uri in inputs_of(state) if (key := self._key(uri))]
        return await self._make(run_policy(self._bucket, run_id, reads=reads), run_id)

    async def of_evaluator(self) -> StoreKeys:
        """Keys of the evaluator. Raises FailedPrecondition, Unavailable."""
        return await self._make(evaluator_policy(self._bucket), "evaluator")

    async def _make(self, policy: Policy, name: str) -> StoreKeys:
        return await self._threads(self._issue, policy, name)

    def _key(self, uri: str) -> str | None:
        """The key of an input in this installation's bucket; None for what lies elsewhere."""
        try:
            bucket, key = parse_s3_uri(uri.partition("?")[0])
        except InvalidInput:
            return None
        return key if bucket == self._bucket else None
