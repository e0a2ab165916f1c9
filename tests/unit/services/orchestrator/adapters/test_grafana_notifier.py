"""Decisions reach Grafana once it takes them."""

import pytest

from retain.values import Decision, Severity, Verdict
from services.common.errors import Unavailable
from services.common.grafana_annotations import GrafanaAnnotations
from services.orchestrator.adapters.grafana_notifier import GrafanaNotifier


class Annotations(GrafanaAnnotations):
    """Keeps what was drawn; refuses when told so."""

    def __init__(self, *, takes: bool) -> None:
        self.takes, self.drawn = takes, []

    def draw(self, text, *, tags=(), time_s=None):
        self.drawn.append((text, list(tags), time_s))
        return self.takes


DECISION = Decision(
    run_id="r1",
    number=4,
    stage="midtrain/code",
    attempt=1,
    boundary=2,
    step=24,
    verdict=Verdict.ADJUST,
    severity=Severity.ACTION,
    message="general share 0.1 -> 0.2",
    time_s=1_700_000_000.0,
)


def test_a_decision_is_drawn_at_its_time_with_run_stage_and_number():
    annotations = Annotations(takes=True)
    GrafanaNotifier(annotations).annotate(DECISION)
    tags = ["run:r1", "stage:midtrain/code", "decision:4"]
    assert annotations.drawn == [("ADJUST: general share 0.1 -> 0.2", tags, 1_700_000_000.0)]


def test_a_grafana_that_refuses_is_asked_again_later():
    with pytest.raises(Unavailable, match="decision 4"):
        GrafanaNotifier(Annotations(takes=False)).annotate(DECISION)
