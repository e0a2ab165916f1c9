"""Whatever happens to a call over a port of a worker, the weights are those of the run that was left alone."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.faults.injector import Fault
from tests.faults.ports import Call, protocol_calls, rpc_calls
from tests.faults.worker_stage import CONTROL, STAGE_PORTS, STORE, run_to_the_end

pytestmark = pytest.mark.integration
NOT_REACHED = {
    Call(STORE, "ensure_bucket"): "the composition root's of the services",
    Call(STORE, "presign_get"): "the orchestrator's, for users; covered in test_orchestrator_ports.py",
    Call(STORE, "sign_put"): "the orchestrator's, for users; covered in test_orchestrator_ports.py",
    Call(STORE, "delete"): "a worker deletes nothing; covered in test_orchestrator_ports.py",
    Call(STORE, "get_bytes"): "a worker reads files; covered in test_orchestrator_ports.py",
    Call(STORE, "scan"): "the collector's; covered in test_orchestrator_ports.py",
    Call(STAGE_PORTS, "leave"): "only for workers that are told to leave; integration test_worker_leaving.py",
    Call(STORE, "put_if_absent"): "the evaluator's records; covered in test_evaluator_ports.py",
}


def calls() -> list[Call]:
    mine = [c for c in protocol_calls() if c.port in (STORE, STAGE_PORTS)] + [
        c for c in rpc_calls() if c.port == CONTROL
    ]
    return sorted(call for call in mine if call not in NOT_REACHED)


@cache
def undisturbed() -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        return run_to_the_end(Call("nothing", "nothing"), Fault.SLOW, Path(folder))[0]


def test_the_run_that_is_left_alone_ends_well() -> None:
    told = undisturbed()
    assert told["failed"] == []
    assert sorted(told["weights"]) == [(stage, boundary) for stage in (0, 1) for boundary in (1, 2)]


SMOKE = [
    (Call(CONTROL, "ReportCheckpoint"), Fault.REPLY_LOST),
    (Call(STORE, "put_file"), Fault.UNFORESEEN),
    (Call(STAGE_PORTS, "directive"), Fault.CALL_LOST),
]


@pytest.mark.parametrize(("call", "fault"), SMOKE, ids=str)
def test_some_faults_change_nothing(call: Call, fault: Fault, tmp_path: Path) -> None:
    _check(call, fault, tmp_path)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("fault", list(Fault), ids=str)
@pytest.mark.parametrize("call", calls(), ids=str)
def test_a_fault_of_one_call_changes_nothing(call: Call, fault: Fault, tmp_path: Path) -> None:
    _check(call, fault, tmp_path)


def _check(call: Call, fault: Fault, folder: Path) -> None:
    told, injector = run_to_the_end(call, fault, folder)
    assert injector.hits > 0, f"{call} was never called: the run has to reach it"
    if fault is Fault.REFUSED and told["failed"]:
        # A status without details, as the scripted orchestrator sends it, has the reason of its kind.
        reason = "ROLE_REFUSED" if call.port == CONTROL else "INJECTED_REFUSED"
        assert set(told["failed"]) == {reason}, "a permanent error ends a run under its own name"
        return
    assert told == undisturbed()
