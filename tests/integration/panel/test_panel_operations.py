"""The page of operations: alerts, services, workers, queue; who did what is for admins."""

from retain.orchestrator.v1 import resources_pb2 as res
from retain.values import AuditEvent
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from tests.integration.panel.test_panel_new import platform  # noqa: F401  (a fixture)
from tests.integration.panel.test_panel_pages import open_page, said
from tests.ticks import tick
from ui.client.client import RetainClient
from ui.client.errors import Unreachable
from ui.panel import operations
from ui.panel.grafana import SETTING, grafana_links


def test_what_is_over_a_threshold_and_what_does_not_answer_stand_there(platform: FakePlatform) -> None:  # noqa: F811
    platform.alerts.append(
        res.RunAlert(
            run_id="held", stage="midtrain/code", kind=res.ALERT_KIND_FORGETTING, severity=res.SEVERITY_STOP,
            retention_set="general", ratio=0.24, threshold=0.2, message="24 % of general",
        )
    )  # fmt: skip
    platform.system.slots_held = 1
    platform.system.components.add(name="object_store", state=res.COMPONENT_STATE_DOWN, reason="STORE_UNAVAILABLE")
    waiting = scripted_runs.new_run(platform, "waits")
    waiting.status.queue_position = 1
    platform.put(waiting)
    scripted_runs.tell(platform, "works", until="finetune")
    at = open_page("operations")
    alerts, services, workers, queue = (table.value for table in at.dataframe)
    assert list(alerts["Run"]) == ["held"]
    assert list(alerts["What"]) == ["24 % of general"]
    assert list(services["Answers"]) == ["✗ no"]
    assert list(workers["Run"]) == ["works"]
    assert (list(queue["Run"]), list(queue["Place"])) == (["waits"], [1])
    assert "object_store does not answer" in said(at)
    assert "1 of 2 worker slots are held" in said(at)


def test_an_alert_comes_onto_the_open_page_and_what_is_as_it_was_is_not_drawn(platform: FakePlatform) -> None:  # noqa: F811
    at = open_page("operations")
    assert said(tick(at)) == ""
    platform.alerts.append(
        res.RunAlert(
            run_id="held", kind=res.ALERT_KIND_FORGETTING, severity=res.SEVERITY_STOP, message="24 % of general"
        )
    )
    tick(at)
    assert [list(table.value["Run"]) for table in at.dataframe] == [["held"]]


def test_a_server_that_goes_away_is_told_on_the_open_page_once(platform: FakePlatform, monkeypatch) -> None:  # noqa: F811
    at = open_page("operations")

    def away(self: RetainClient) -> None:
        raise Unreachable("it does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(RetainClient, "system", away)
        assert [one.value for one in tick(at).error] == ["it does not answer"]
        assert list(tick(at).error) == []
    assert "No run is over a threshold" in tick(at).success[0].value


def test_who_did_what_is_for_admins_alone(platform: FakePlatform) -> None:  # noqa: F811
    at = open_page("operations")
    assert "Who did what" not in said(at)
    assert "No run is over a threshold" in at.success[0].value


def test_rows_of_the_audit_trail_and_links_where_a_grafana_is_named() -> None:
    event = AuditEvent(number=1, time_s=0.0, subject="ada", kind="user", action="CancelPipelineRun", outcome="OK")
    (row,) = operations.audit_rows([event])
    assert (row["Who"], row["Did"], row["On"], row["Outcome"]) == ("ada", "CancelPipelineRun", "-", "OK")
    links = grafana_links({SETTING: "https://grafana.example/"})
    assert ("Forgetting", "https://grafana.example/d/retain-forgetting") in links
    assert grafana_links({}) == grafana_links({SETTING: ""}) == []
