"""Whatever happens to a call over a port of the orchestrator, the user's session ends as it does undisturbed.

Every call of every port, each with every kind of fault: `make test-faults`. A smoke pass over all of them in turn is
part of `make test`.
"""

import asyncio
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.faults.injector import Fault, Injector
from tests.faults.ports import Call, protocol_calls
from tests.faults.stage import AUDIT, IDENTITY, STORE, TIMING, Stage

PORTS = "services.orchestrator.application.ports"
# What the session's fake workers do with the store in place of the orchestrator, and what only a first start needs.
NOT_REACHED = {
    Call(STORE, "put_file"): "workers upload files; covered in test_worker_ports.py",
    Call(STORE, "get_file"): "workers and evaluator download files; covered in test_worker_ports.py",
    Call(STORE, "put_if_absent"): "the evaluator's records; covered in test_evaluator_ports.py",
    Call(STORE, "ensure_bucket"): "the composition root's, before it serves",
    Call(f"{PORTS}.JobLauncher", "stop"): "only for a group that does not leave by itself: below",
    Call(f"{PORTS}.Leadership", "take"): "before anything is served; contract/test_database.py, two real processes",
    Call(
        f"{PORTS}.Leadership", "held"
    ): "a connection that is lost is a leadership that is lost; contract/test_database.py",
    Call(f"{PORTS}.Leadership", "give_back"): "at an end in good order; contract/test_database.py",
    Call(f"{PORTS}.Repository", "forget_uploads"): "only where uploads are taken; unit test_collector.py",
    Call(IDENTITY, "add_api_token"): "a person asks again; unit test_identity.py",
    Call(IDENTITY, "update_api_token"): "a last use that is lost is written with a later one; unit test_identity.py",
    Call(AUDIT, "list_audit"): "for people",
    Call(f"{PORTS}.GarbageMeter", "freed"): "counts what was taken, in the same process; unit test_collector.py",
}


def calls() -> list[Call]:
    mine = [call for call in protocol_calls() if call.port.startswith(PORTS) or call.port in (STORE, IDENTITY, AUDIT)]
    return sorted(call for call in mine if call not in NOT_REACHED)


@cache
def undisturbed() -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        return asyncio.run(Stage(Path(folder), Injector("nothing", "nothing", Fault.SLOW)).session("session"))


def test_the_session_forgets_is_noticed_and_ends_well() -> None:
    """What the others are compared with is worth comparing with."""
    outcome = undisturbed()
    assert outcome["run"]["state"] == "RUN_STATE_SUCCEEDED"
    verdicts = {verdict for *_, verdict in outcome["decisions"]}
    assert {"VERDICT_CONTINUE", "VERDICT_ADJUST", "VERDICT_INTERPOLATE", "VERDICT_ACCEPT"} <= verdicts
    assert outcome["second"] == "deleted, and its files"
    assert outcome["imported"][1] == "context 128"


@pytest.mark.parametrize("seed", range(3))
def test_faults_everywhere_in_turn_change_nothing(seed: int, tmp_path: Path) -> None:
    kinds = (Fault.CALL_LOST, Fault.REPLY_LOST, Fault.UNFORESEEN)
    injector = Injector("*", "*", Fault.SLOW, times=24, every=11 + 2 * seed, kinds=kinds)
    assert asyncio.run(Stage(tmp_path, injector).session("session")) == undisturbed()
    assert injector.hits == 24


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("fault", list(Fault), ids=str)
@pytest.mark.parametrize("call", calls(), ids=str)
def test_a_fault_of_one_call_changes_nothing(call: Call, fault: Fault, tmp_path: Path) -> None:
    injector = Injector(call.port, call.method, fault)
    told = asyncio.run(Stage(tmp_path, injector).session("session"))
    assert injector.hits > 0, f"{call} was never called: the session has to reach it"
    assert told == undisturbed()


@pytest.mark.parametrize("fault", [Fault.CALL_LOST, Fault.REPLY_LOST, Fault.REFUSED, Fault.UNFORESEEN], ids=str)
def test_a_group_that_hangs_is_stopped_whatever_happens_to_the_call(fault: Fault, tmp_path: Path) -> None:
    injector = Injector(f"{PORTS}.JobLauncher", "stop", fault)
    # It may be caught before its first sign of work, when the limit of a start holds.
    stage = Stage(tmp_path, injector, timing=replace(TIMING, stall_timeout_s=2.0, start_timeout_s=8.0))

    async def hang_once() -> None:
        for _ in range(2_000):
            if stage.launcher.workers:
                next(iter(stage.launcher.workers.values())).paused.set()
                return
            await asyncio.sleep(0.01)

    async def both() -> dict[str, Any]:
        hanging = asyncio.create_task(hang_once())
        told = await stage.run("hung")
        await hanging
        return told

    told = asyncio.run(both())
    assert injector.hits > 0
    assert told["state"] == "RUN_STATE_SUCCEEDED"
    assert len(stage.launcher.submissions) == 2, "one group was replaced"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (Call(f"{PORTS}.EvaluatorPort", "create"), "INJECTED_REFUSED"),
        (Call(f"{PORTS}.EvaluatorPort", "write_point"), "INJECTED_REFUSED"),
        (Call(f"{PORTS}.JobLauncher", "submit"), "JOB_KEEPS_FAILING"),
    ],
    ids=str,
)
def test_what_is_refused_for_good_ends_the_run_with_its_reason(call: Call, reason: str, tmp_path: Path) -> None:
    told = asyncio.run(Stage(tmp_path, Injector(call.port, call.method, Fault.REFUSED, times=10**6, every=1)).run("r"))
    assert (told["state"], told["reason"]) == ("RUN_STATE_FAILED", reason)
