"""Gauge sets in spec and plan: on by default, chosen or off by a field, no source and no share of their own, and a
warning where a stage is measured on replayed sources only."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from model import gauge
from retain.mapper import to_message, to_value
from retain.orchestrator.v1 import resources_pb2
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from retain.types.v1 import spec_pb2
from retain.values import (
    ForgettingScore,
    ForgettingSpec,
    GaugeKind,
    GaugeSpec,
    PipelineSpec,
    PrepareWork,
    SetUse,
    Severity,
    StageData,
)
from retain.values.recommendations import recommendations
from services.common.metrics import OrchestratorMetrics
from services.orchestrator.adapters.exporter import Exporter
from services.orchestrator.application.run_store import SystemClock
from services.orchestrator.domain.handlers.assignment import work_of
from services.orchestrator.domain.handlers.lifecycle import new_run
from services.orchestrator.domain.policy.interpolation import interpolation_point
from services.orchestrator.domain.run.commands import RecordDecision
from services.orchestrator.domain.run.state import RunState
from services.orchestrator.domain.spec.bounds import limits_of
from services.orchestrator.domain.spec.defaults import fill
from services.orchestrator.domain.spec.gauges import KINDS, MOST_BITS_PER_BYTE, PREFIX, most_bits_per_byte
from services.orchestrator.domain.spec.plan import plan, warnings
from services.orchestrator.domain.step import step
from services.orchestrator.domain.values import Measurement
from services.orchestrator.transport.present import present_plan
from tests.scenarios.scenario_runner import training
from tests.unit.services.orchestrator.domain.spec.test_spec import fields
from tests.unit.services.orchestrator.specs import FINETUNE, MIDTRAIN, PRETRAIN, spec

ALL = ("gauge-encyclopaedic", "gauge-narrative", "gauge-code", "gauge-conversation")


def with_gauges(gauges: GaugeSpec | None, **rules: object) -> PipelineSpec:
    return spec(forgetting=ForgettingSpec(gauges=gauges, **rules))  # type: ignore[arg-type]


def score(name: str, *, ratio: float, shown_only: bool = False) -> ForgettingScore:
    return ForgettingScore(
        retention_set=name, ratio=ratio, nats=0.0, baseline_perplexity=10.0, perplexity=10.0 * (1 + ratio),
        use=SetUse.CONTROL, shown_only=shown_only,
    )  # fmt: skip


def test_the_kinds_are_those_that_the_model_package_brings() -> None:
    assert [PREFIX + kind.lower() for kind in KINDS] == [gauge.set_name(kind) for kind in gauge.KINDS]


def test_every_stage_after_pretraining_has_them_by_default_without_source_or_share() -> None:
    first, *later = plan(fill(spec()))
    assert (first.retention_sets, first.never_replayed) == ((), ())
    for stage in later:
        assert stage.never_replayed == ALL
        assert stage.retention_sets[-4:] == ALL
        assert not {*ALL} & {*stage.sources, *stage.shares}


@pytest.mark.parametrize(
    ("gauges", "measured"),
    [
        (None, ALL),
        (GaugeSpec(), ALL),
        (GaugeSpec(off=True), ()),
        (GaugeSpec(kinds=(GaugeKind.CODE, GaugeKind.NARRATIVE)), ("gauge-code", "gauge-narrative")),
    ],
)
def test_a_field_chooses_them_or_switches_them_off(gauges: GaugeSpec | None, measured: tuple[str, ...]) -> None:
    filled = fill(with_gauges(gauges))
    assert plan(filled)[1].never_replayed == measured
    assert fill(filled) == filled


def test_a_spec_that_was_stored_before_there_were_any_is_measured_as_before() -> None:
    filled = fill(spec())
    stored = replace(filled, forgetting=replace(filled.forgetting, gauges=None))
    assert plan(stored)[1].retention_sets == ("general",)


@pytest.mark.parametrize(
    ("gauges", "field"),
    [
        (GaugeSpec(off=True, kinds=(GaugeKind.CODE,)), "forgetting.gauges.kinds"),
        (GaugeSpec(kinds=(GaugeKind.CODE, GaugeKind.CODE)), "forgetting.gauges.kinds[1]"),
        (GaugeSpec(kinds=(GaugeKind.UNSPECIFIED,)), "forgetting.gauges.kinds[0]"),
        (GaugeSpec(most_bits_per_byte=0.0), "forgetting.gauges.most_bits_per_byte"),
        (GaugeSpec(most_bits_per_byte=float("nan")), "forgetting.gauges.most_bits_per_byte"),
        (GaugeSpec(most_bits_per_byte=65.0), "forgetting.gauges.most_bits_per_byte"),
    ],
)
def test_faults_are_named_by_their_field(gauges: GaugeSpec, field: str) -> None:
    assert list(fields(with_gauges(gauges))) == [field]


def test_nobody_else_may_take_their_names_or_replay_them() -> None:
    taken = fields(with_gauges(None, retention={"gauge-legal": "sample://docs"}))
    assert "nothing that begins with gauge-" in taken["forgetting.retention[gauge-legal]"]
    replayed = replace(FINETUNE, data=replace(FINETUNE.data, replay={"gauge-code": 0.1}))
    assert "stages[2].data.replay[gauge-code]" in fields(spec(stages=(PRETRAIN, MIDTRAIN, replayed)))


def test_the_plan_warns_where_only_replayed_sources_are_measured() -> None:
    """Of three stages, pre-training keeps nothing, mid-training keeps general, fine-tuning general and code."""
    said = warnings(plan(fill(with_gauges(GaugeSpec(off=True)))))
    assert [line.partition(" is measured on replayed sources only ")[0] for line in said] == [
        "midtrain/code",
        "finetune",
    ]
    assert "(general, code)" in said[1]
    assert warnings(plan(fill(spec()))) == ()
    assert list(
        present_plan(fill(with_gauges(GaugeSpec(off=True))), plan(fill(with_gauges(GaugeSpec(off=True))))).warnings
    ) == list(said)


def test_a_set_that_is_kept_and_not_replayed_is_warning_enough_of_its_own() -> None:
    data = StageData(domain="sample://code", replay={"legal": 0.0})
    asked = with_gauges(GaugeSpec(off=True), retention={"legal": "sample://science"})
    asked = replace(asked, stages=(PRETRAIN, replace(MIDTRAIN, data=data)))
    assert warnings(plan(fill(asked))) == ()


def test_the_evaluator_is_told_from_where_on_a_gauge_was_not_known() -> None:
    rules = fill(spec()).forgetting
    assert most_bits_per_byte(rules, "gauge-code") == MOST_BITS_PER_BYTE == 2.0
    assert most_bits_per_byte(rules, "general") is None
    assert most_bits_per_byte(fill(with_gauges(GaugeSpec(most_bits_per_byte=9.0))).forgetting, "gauge-code") == 9.0
    assert most_bits_per_byte(replace(rules, gauges=None), "gauge-code") is None


def test_what_was_not_known_is_shown_and_decides_nothing() -> None:
    scores = (score("general", ratio=0.01), score("gauge-code", ratio=0.9, shown_only=True))
    measured = Measurement(results=(), scores=scores)
    assert measured.scores_of(SetUse.CONTROL) == scores
    assert measured.deciding(SetUse.CONTROL) == scores[:1]
    assert interpolation_point(0.5, measured).worst_set == "general"


def test_people_are_told_that_replay_does_not_help_them() -> None:
    limits = limits_of(fill(spec()).forgetting)
    for severity in (Severity.ACTION, Severity.STOP):
        told = recommendations(severity, limits, never_replayed=True)
        assert any("LOWER learning rate" in line for line in told)
        assert not any("INCREASE general data" in line for line in told)
        assert any("INCREASE general data" in line for line in recommendations(severity, limits))


def test_over_the_wire_a_field_that_is_absent_is_the_default_and_off_stays_off() -> None:
    message = spec_pb2.PipelineSpec()
    assert to_value(message, PipelineSpec).forgetting.gauges is None
    message.forgetting.gauges.off = True
    assert to_value(message, PipelineSpec).forgetting.gauges == GaugeSpec(off=True)
    chosen = fill(with_gauges(GaugeSpec(kinds=(GaugeKind.CONVERSATION,))))
    written = to_message(chosen, spec_pb2.PipelineSpec)
    assert list(written.forgetting.gauges.kinds) == [spec_pb2.GAUGE_KIND_CONVERSATION]  # type: ignore[attr-defined]
    assert to_value(written, PipelineSpec) == chosen


def test_workers_are_told_which_sets_have_no_source() -> None:
    state = new_run("r", fill(spec()), store_uri="s3://retain", base=None, queue_number=1, now_s=0.0)
    work = work_of(replace(state, status=RunState.RUNNING))
    assert isinstance(work, PrepareWork)
    stages = [to_message(stage, control_pb2.PrepareStage) for stage in work.stages]
    assert [tuple(stage.never_replayed) for stage in stages] == [(), ALL, ALL]  # type: ignore[attr-defined]
    shown = present_plan(fill(spec()), plan(fill(spec())))
    assert isinstance(shown, resources_pb2.PipelinePlan)
    assert [tuple(stage.never_replayed) for stage in shown.stages] == [(), ALL, ALL]


def test_a_gauge_that_gets_too_good_may_be_learned_from_text_of_its_kind() -> None:
    runner = training("gauges=code")
    runner.apply("checkpoint 10")
    made = step(runner.state, runner._event(["score", "10", "general=0.0", "gauge-code=-0.6"]))
    decision = next(r.decision for r in made.records if isinstance(r, RecordDecision))
    assert decision.suspicious
    assert "text of its kind is being learned, or the baseline or the set is in doubt" in decision.message


@pytest.mark.parametrize(("word", "flag"), [("", 1.0), ("unknown=1", 0.0)])
def test_what_is_shown_only_is_not_in_doubt_to_prometheus(word: str, flag: float) -> None:
    registry, runner = CollectorRegistry(), training("gauges=code")
    exporter = Exporter(OrchestratorMetrics(registry), SystemClock())
    for line in ("checkpoint 10", f"score 10 general=0.0 gauge-code=-0.9 {word}"):
        before = runner.state
        runner.apply(line)
        exporter.changed(before, runner.state, ())
    labels = {"run": "r1", "stage": "midtrain/code", "retention_set": "gauge-code"}
    assert registry.get_sample_value("retain_forgetting_suspicious", labels) == flag
