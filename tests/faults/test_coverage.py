"""No port without a place in the matrix: what the code asks from outside is found in the code, not listed by hand."""

import importlib

from tests.faults import test_evaluator_ports, test_evaluator_wire, test_orchestrator_ports, test_worker_ports
from tests.faults.ports import NO_EDGE, protocol_calls, rpc_calls

MATRICES = (test_orchestrator_ports, test_worker_ports, test_evaluator_ports, test_evaluator_wire)


# Not reached by a session, each with where its faults are tried, or why there is nothing to try.
ELSEWHERE = {
    "ObjectStore.ensure_bucket": "before anything is served: a fault is a process that its supervisor starts again",
    "JobLauncher.stop": "test_a_group_that_hangs_is_stopped_whatever_happens_to_the_call",
    "Leadership.take": "tests/contract/test_database.py: two real processes, a connection that ends",
    "Leadership.held": "tests/contract/test_database.py",
    "Leadership.give_back": "tests/contract/test_database.py",
    "Repository.forget_uploads": "tests/unit/services/orchestrator/application/test_collector.py",
    "IdentityRecords.add_api_token": "tests/unit/services/orchestrator/application/test_identity.py",
    "IdentityRecords.update_api_token": "tests/unit/services/orchestrator/application/test_identity.py",
    "AuditRecords.list_audit": "for people",
    # A fault in these fails one call of a person, who asks again; tests/integration/test_projects.py makes every one.
    "ProjectRecords.add_project": "for admins",
    "ProjectRecords.update_project": "for admins",
    "ProjectRecords.projects": "for people, and before a run is created under its request id",
    "ProjectRecords.active_runs": "before a run is created under its request id",
    "ProjectRecords.stored_bytes": "before a run or an upload is created under its request id",
    "ProjectRecords.share": "for people",
    "ProjectRecords.unshare": "for people",
    "ProjectRecords.shared_with": "before a run that builds on a checkpoint is created",
    "GarbageMeter.freed": "tests/unit/services/orchestrator/application/test_collector.py",
    "LogStream.close": "tests/unit/services/orchestrator/application/logs/test_log_service.py",
    "StagePorts.leave": "tests/integration/worker/test_worker_leaving.py",
    "Evaluations.leave": "tests/unit/services/evaluator/application/test_evaluation_loop.py",
    "Measurer.make_room": "tests/unit/services/evaluator/application/test_evaluation_loop.py",
    "Measurer.release": "test_memory_that_cannot_be_given_back_ends_nothing in test_evaluator_ports.py",
    "InterpolationWriter.write": "EvaluatorPort.write_point and EvaluatorService.WritePoint stand for it",
    "Sampler.sample": "a text for a person, who asks again",
    "EvaluatorService.ListEvaluations": "for people",
    "EvaluatorService.WatchEvaluation": "for people",
    "EvaluatorService.GetForgettingHistory": "for people",
    "EvaluatorService.SampleText": "for people",
    "EvaluatorService.PreviewData": "for people",
    "EvaluatorService.EvaluateFile": "for people",
    "SourceRules.fault_of": "a look for a person, who asks again",
    "SourceRules.model_fault": "a look for a person, who asks again",
    "Previewer.preview": "a look for a person, who asks again",
    "FileMeasurer.identify": "a file of a person, who asks again",
    "FileMeasurer.file_method": "a file of a person, who asks again",
    "FileMeasurer.measure_file": "a file of a person, who asks again",
    "FileResults.get": "a file of a person, who asks again",
    "FileResults.put": "tests/unit/services/evaluator/application/test_file_evaluations.py",
}


def test_every_call_over_a_port_is_disturbed_somewhere() -> None:
    covered = {call for matrix in MATRICES for call in matrix.calls()}
    missing = {str(call) for call in (protocol_calls() | rpc_calls()) - covered}
    assert missing == set(ELSEWHERE), "new calls over a port: let a session reach them, in a matrix beside this file"


def test_what_one_matrix_does_not_reach_another_does() -> None:
    covered = {call for matrix in MATRICES for call in matrix.calls()}
    for matrix in MATRICES:
        for call, why in matrix.NOT_REACHED.items():
            assert call in protocol_calls() | rpc_calls(), f"{call} is no port any more"
            assert call in covered or str(call) in ELSEWHERE, f"{call}: {why}"


def test_what_is_said_to_be_no_edge_is_there() -> None:
    for name in NO_EDGE:
        module, _, cls = name.rpartition(".")
        assert getattr(importlib.import_module(module), cls)._is_protocol
