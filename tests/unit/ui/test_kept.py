"""What is kept, side by side: replayed sources and text that nothing replays, in `show`, and warnings in `validate`."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from retain.evaluator.v1 import resources_pb2 as evaluator_resources
from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import spec_pb2, values_pb2
from tests.fakes.orchestrator_service import FakePlatform
from ui.client import convert
from ui.client.views import ForgettingRecord, Plan, Run, Stage
from ui.demo import _report
from ui.render.kept import kept_rows
from ui.render.perplexity_table import dual_rows
from ui.render.probe_table import probe_rows, probe_table
from ui.render.severity import Thresholds
from ui.render.tables import kept_table, plan_table

SEED = Thresholds(minor=0.05, action=0.10, stop=0.20)


def stage_message() -> res.StageStatus:
    """General is replayed and 30 % better; of the gauges one forgot 12 %, and one was not known."""
    message = res.StageStatus(name="midtrain/code", shares={"general": 0.1})
    common = {"baseline_perplexity": 10.0, "use": values_pb2.SET_USE_CONTROL}
    message.scores.add(
        retention_set="gauge-narrative", ratio=0.12, ratio_low=0.09, ratio_high=0.15, perplexity=11.2,
        baseline_bits_per_byte=1.1, **common,
    )  # fmt: skip
    message.scores.add(
        retention_set="gauge-code", ratio=0.9, perplexity=19.0, baseline_bits_per_byte=8.86, shown_only=True, **common
    )
    message.scores.add(retention_set="general", ratio=-0.3, perplexity=7.0, baseline_bits_per_byte=1.0, **common)
    return message


def printed(table: object, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_replayed_sets_and_those_that_never_are_stand_side_by_side() -> None:
    rows = kept_rows([convert.to_view(Stage, stage_message())], SEED)
    assert [(row.set_name, row.replayed, row.severity) for row in rows] == [
        ("general", "10 %", "OK"),
        ("gauge-narrative", "never", "ACTION"),
        ("gauge-code", "never", ""),
    ]
    assert rows[1].interval == "+9.0…+15.0"
    assert rows[2].note == "shown only: the baseline did not know this kind of text (8.9 bits a byte)"


def test_the_table_prints_both_columns_and_why_a_score_decides_nothing() -> None:
    text = printed(kept_table(kept_rows([convert.to_view(Stage, stage_message())], SEED)))
    general, narrative, code = (next(line for line in text.splitlines() if name in line) for name in
                                ("general", "gauge-narrative", "gauge-code"))  # fmt: skip
    assert "10 %" in general
    assert "-30.0 %" in general
    assert "never" in narrative
    assert "⚠ Action" in narrative
    assert "shown only" in code
    assert "Stop" not in code


def test_the_worst_of_a_boundary_is_not_one_that_is_only_shown() -> None:
    record = evaluator_resources.ForgettingRecord(run_id="r", stage="midtrain/code", step=10)
    record.scores.extend(stage_message().scores)
    (row,) = dual_rows([convert.to_view(ForgettingRecord, record)], [], SEED)
    assert (row.worst_set, row.forgetting, row.severity) == ("gauge-narrative", pytest.approx(0.12), "ACTION")


def test_a_plan_tells_which_sets_nothing_replays() -> None:
    plan = res.PipelinePlan(warnings=["midtrain/code is measured on replayed sources only (general)"])
    plan.stages.add(name="midtrain/code", retention_sets=["general", "gauge-code"], never_replayed=["gauge-code"])
    plan.stages.add(name="finetune", retention_sets=["general"])
    plan.stages.add(name="pretrain")
    view = convert.to_view(Plan, plan)
    assert view.warnings == ("midtrain/code is measured on replayed sources only (general)",)
    text = printed(plan_table(view), width=220)
    assert "general; never replayed: gauge-code" in text


def test_validate_prints_the_warnings_of_a_plan(retain, platform: FakePlatform, tmp_path: Path) -> None:
    spec = str(tmp_path / "spec.yaml")
    Path(spec).write_text(retain("init", "three-stage").out)
    said = "midtrain/code is measured on replayed sources only (general): leave forgetting.gauges on"
    platform.warnings.append(said)
    assert f"warning: {said}" in retain("validate", spec).err
    assert retain("validate", spec, "--json").json["warnings"] == [said]


def test_the_panel_lists_every_set_of_a_stage() -> None:
    def page() -> None:
        from tests.unit.ui.test_kept import SEED, stage_message
        from ui.client import convert
        from ui.client.views import Stage
        from ui.panel.run import parts

        class Shown:
            stages = (convert.to_view(Stage, stage_message()),)

        parts.kept(Shown(), SEED)  # type: ignore[arg-type]

    from streamlit.testing.v1 import AppTest

    shown = AppTest.from_function(page).run(timeout=30)
    assert not shown.exception
    table = shown.dataframe[0].value
    assert list(table["Set"]) == ["general", "gauge-narrative", "gauge-code"]
    assert list(table["Replayed"]) == ["10 %", "never", "never"]
    assert list(table["Forgetting"]) == ["✓ -30.0 %", "⚠ +12.0 %", "- +90.0 %"]
    assert table["Note"][2].startswith("shown only: the baseline did not know this kind of text")


def test_the_demo_tells_unknown_text_from_what_was_forgotten() -> None:
    message = stage_message()
    message.report_scores.extend(message.scores)
    run = res.PipelineRun()
    run.status.stages.append(message)
    paper = Console(file=io.StringIO(), width=200)
    _report(convert.to_view(Run, run), SEED, paper)
    assert isinstance(paper.file, io.StringIO)
    lines = paper.file.getvalue().splitlines()
    assert lines[0].startswith("⚠ midtrain/code: forgetting of gauge-narrative on its report set +12.0 %")
    assert lines[1].startswith("✓ midtrain/code: forgetting of general on its report set -30.0 %")
    assert lines[2] == "- midtrain/code: measured, and never known to this model, so nothing to forget: gauge-code"


def test_the_probe_is_shown_before_and_now_with_what_decides_nothing() -> None:
    message = res.StageStatus(name="finetune")
    message.probe.results.add(
        kind=values_pb2.PROBE_KIND_JSON, items=40, right=20, baseline_right=30, lost=12, gained=2, loss=0.25,
        loss_low=0.081, loss_high=0.402,
    )  # fmt: skip
    message.probe.results.add(kind=values_pb2.PROBE_KIND_CHOICE, items=80, right=20, baseline_right=21, shown_only=True)
    rows = probe_rows([convert.to_view(Stage, stage_message()), convert.to_view(Stage, message)])
    assert (rows[0].kind, rows[0].before, rows[0].now, rows[0].lost) == ("JSON", "30 of 40", "20 of 40", "+25.0 %")
    text = printed(probe_table(rows))
    assert "+8.1…+40.2" in text
    assert "shown only: the start did no better than chance" in text
    silent = res.StageStatus(name="finetune")
    silent.probe.not_measured = "more than 900 s"
    assert probe_rows([convert.to_view(Stage, silent)])[0].note == "not measured: more than 900 s"


def test_status_and_show_of_a_run_print_its_probe(retain, platform: FakePlatform) -> None:
    run = res.PipelineRun(id="r1")
    run.status.state = res.RUN_STATE_RUNNING
    run.spec.forgetting.minor, run.spec.forgetting.action, run.spec.forgetting.stop = 0.05, 0.1, 0.2
    stage = run.status.stages.add(name="finetune", state=res.STAGE_STATE_RUNNING, kind=spec_pb2.STAGE_KIND_FINETUNE)
    stage.probe.results.add(kind=values_pb2.PROBE_KIND_STOP, items=80, right=70, baseline_right=80, lost=10, loss=0.125)
    platform.put(run)
    for verb in ("status", "show"):
        assert "end of turn" in retain(verb, "r1").out, verb
