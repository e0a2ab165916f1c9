"""Who gets which keys of the store: the present worker group those of its run, with what the run is made from."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from retain.values import CheckpointRef
from services.common.errors import FailedPrecondition, NotFound, Stale
from services.common.store.policies import Policy, evaluator_policy
from services.common.store.store_keys import StoreKeys, no_keys
from services.orchestrator.application.storage.store_keys import StoreKeyService
from services.orchestrator.domain.run.references import inputs_of
from services.orchestrator.domain.run.state import PipelineRun
from tests.unit.services.orchestrator.offline import Offline
from tests.unit.services.orchestrator.specs import spec

KEYS = StoreKeys(access_key="a", secret_key="s", session_token="t", expire_s=1.0)


@pytest.fixture
async def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Offline]:
    offline = Offline(tmp_path, monkeypatch)
    await offline.app.reconciler.start()
    yield offline
    await offline.close()


class Store:
    """Keeps the policies that it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Policy, str]] = []

    def issue(self, policy: Policy, name: str) -> StoreKeys:
        self.asked.append((policy, name))
        return KEYS


async def running(offline: Offline) -> PipelineRun:
    run = await offline.app.runs.create(spec(), "", digest="d")
    await offline.passed()
    state = await offline.app.run_store.get(run.id)
    assert state.submission == 1
    return state


async def test_the_present_group_gets_keys_of_its_run(offline: Offline) -> None:
    run, store = await running(offline), Store()
    keys = StoreKeyService(offline.app.run_store, "retain", store.issue)
    assert await keys.of_run(run.id, run.submission) == KEYS
    policy, name = store.asked[0]
    assert name == run.id
    assert f"retain/runs/{run.id}/*" in json.dumps(policy)
    with pytest.raises(Stale):
        await keys.of_run(run.id, run.submission + 1)
    with pytest.raises(NotFound):
        await keys.of_run("another", 1)
    assert len(store.asked) == 1
    keys.close()


async def test_the_evaluator_gets_its_own(offline: Offline) -> None:
    store = Store()
    keys = StoreKeyService(offline.app.run_store, "retain", store.issue)
    await keys.of_evaluator()
    assert store.asked == [(evaluator_policy("retain"), "evaluator")]
    keys.close()


async def test_inputs_are_what_the_spec_names_and_the_base(offline: Offline) -> None:
    run = await running(offline)
    base = CheckpointRef(uri="s3://retain/runs/b/pretrain/attempt-0/step-1", manifest_sha256="m", weights_digest="w")
    stage = run.stages[0]
    plan = replace(stage.plan, sources={**stage.plan.sources, "general": "s3://retain/uploads/u/a.jsonl?field=text"})
    made = replace(run, base=base, stages=(replace(stage, plan=plan), *run.stages[1:]))
    assert {base.uri, "s3://retain/uploads/u/a.jsonl?field=text"} <= inputs_of(made)
    keys = StoreKeyService(offline.app.run_store, "retain", no_keys)
    found = {key for uri in inputs_of(made) if (key := keys._key(uri))}
    assert found == {"runs/b/pretrain/attempt-0/step-1", "uploads/u/a.jsonl"}
    with pytest.raises(FailedPrecondition) as caught:
        await keys.of_run(run.id, run.submission)
    assert caught.value.reason == "NO_STS"
    keys.close()
