"""What people read: the progress table's rules, severities, the dual table, numbers, following, the menus, the demo."""

import io
import math
from dataclasses import replace

import pytest
from rich.console import Console

from retain.orchestrator.v1 import resources_pb2 as res
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui import guides
from ui.client.client import RetainClient
from ui.demo import show
from ui.menu import Menu
from ui.render import formatting
from ui.render import progress_table as progress
from ui.render.follow import PlainView, TerminalView, follow, stage_detail
from ui.render.perplexity_table import dual_rows
from ui.render.severity import MARKS, Thresholds
from ui.render.tables import decision_line, dual_table, stages_table

SEED = Thresholds(minor=0.05, action=0.10, stop=0.20)


def paper(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=200)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("ratio", "severity"),
    [
        (None, ""),
        (-0.3, "OK"),
        (-0.5, "OK"),
        (-0.51, "SUSPICIOUS"),
        (-0.999, "SUSPICIOUS"),
        (-3.3, "IMPOSSIBLE"),
        (0.0499, "OK"),
        (0.05, "MINOR"),
        (0.10, "ACTION"),
        (0.20, "STOP"),
        (math.nan, "STOP"),
        (math.inf, "STOP"),
        (-math.inf, "STOP"),
    ],
)
def test_thresholds_are_inclusive_and_fail_closed(ratio: float | None, severity: str) -> None:
    assert SEED.mark(ratio) == severity


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formatting.percent(0.123), "+12.3 %"),
        (formatting.percent(-0.05), "-5.0 %"),
        (formatting.percent(None), "-"),
        (formatting.percent(math.nan), "nan"),
        (formatting.amount(1_500_000), "1.5M"),
        (formatting.amount(950), "950"),
        (formatting.duration(3725), "1 h 02 min"),
        (formatting.duration(59.6), "1 min 00 s"),
        (formatting.file_size(4_200_000), "4.2 MB"),
        (formatting.shares({"general": 0.2, "code": 0.05}), "code 5 %, general 20 %"),
    ],
)
def test_numbers_as_people_read_them(shown: str, expected: str) -> None:
    assert shown == expected


def test_an_imported_model_unlocks_both_later_stages(platform: FakePlatform, client: RetainClient) -> None:
    client.import_checkpoint("s3://retain/uploads/x", name="base")
    rows = progress.of_house(client.checkpoints(), [])
    assert {row.kind: row.status for row in rows} == {"PRETRAIN": "COMPLETE", "MIDTRAIN": "READY", "FINETUNE": "READY"}


def test_checkpoints_that_do_not_count_unlock_nothing(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    for row in platform.checkpoints:
        row.state = res.CHECKPOINT_STATE_VOID
    rows = progress.of_house(client.checkpoints(), [])
    assert [(row.status, row.checkpoints) for row in rows] == [("READY", 0), ("LOCKED", 0), ("LOCKED", 0)]


def test_a_domain_has_its_own_row_and_a_run_that_continues_shows(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    run = scripted_runs.tell(platform, "live", until="midtrain/code")
    stage = run.status.stages[1]
    stage.domain, stage.state = 2, res.STAGE_STATE_RUNNING
    platform.put(run)
    rows = progress.of_house(client.checkpoints(), client.list_runs(states=("RUNNING",)))
    assert [(row.title, row.status) for row in rows] == [
        ("Pre-Training", "COMPLETE"),
        ("Mid-Training (code)", "COMPLETE"),
        ("Mid-Training (math)", "RUNNING"),
        ("Fine-Tuning", "COMPLETE"),
    ]


def test_the_dual_table_joins_measurement_and_decision(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    rows = dual_rows(client.history("r"), client.decisions("r"), SEED)
    worst = rows[8]
    assert (worst.stage, worst.step, worst.severity, worst.verdict) == ("midtrain/code", 60, "STOP", "ROLL_BACK")
    assert worst.forgetting == pytest.approx(0.23)
    assert worst.general_perplexity == pytest.approx(50.0 * 1.23)
    assert (worst.target_set, worst.target_perplexity) == ("code", pytest.approx(60.0))
    assert (rows[0].forgetting, rows[0].severity) == (None, "")


def test_the_base_before_training_is_the_first_row_of_its_stage(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    first = next(at for at, record in enumerate(platform.records["r"]) if record.stage == "midtrain/code")
    base = type(platform.records["r"][0])(run_id="r", stage="midtrain/code", attempt=1, baseline=True)
    base.results.extend(platform.records["r"][first].results)
    base.scores.add(retention_set="general", ratio=0.0)
    platform.records["r"].insert(first, base)
    rows = dual_rows(client.history("r"), client.decisions("r"), SEED)
    assert (rows[first].step, rows[first].tokens, rows[first].verdict, rows[first].forgetting) == (0, 0, "BASE", 0.0)
    assert rows[first].target_perplexity is not None
    console = Console(file=io.StringIO(), width=80)
    console.print(dual_table(rows))
    assert sum(line.rstrip().endswith("base") for line in text(console).splitlines()) == 1


def test_the_dual_table_fits_into_80_columns_with_a_row_to_a_boundary(
    platform: FakePlatform, client: RetainClient
) -> None:
    scripted_runs.finished(platform, "r")
    rows = dual_rows(client.history("r"), client.decisions("r"), SEED)
    console = Console(file=io.StringIO(), width=80)
    console.print(dual_table(rows))
    lines = text(console).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(" %" in line and "95 %" not in line for line in lines) == sum(row.forgetting is not None for row in rows)
    assert sum(line.rstrip().endswith("roll back") for line in lines) == 1, "no cell is cut"


@pytest.mark.parametrize("ratio", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_the_worst(platform: FakePlatform, client: RetainClient, ratio: float) -> None:
    scripted_runs.finished(platform, "r")
    record = platform.records["r"][6]
    record.scores.add(retention_set="code", ratio=ratio)
    row = dual_rows(client.history("r"), [], SEED)[6]
    assert (row.worst_set, row.severity) == ("code", "STOP")


def test_what_the_gauge_does_not_resolve_has_neither_verdict_nor_colour(
    platform: FakePlatform, client: RetainClient
) -> None:
    assert SEED.mark(0.15, 0.15) == "UNRESOLVED"
    assert SEED.mark(-0.6, 0.7) == "UNRESOLVED"
    assert SEED.mark(0.151, 0.15) == "ACTION"
    assert SEED.mark(0.0, 0.0) == "UNRESOLVED"
    assert [SEED.mark(broken, math.inf) for broken in (math.inf, math.nan)] == ["STOP", "STOP"]
    assert MARKS["UNRESOLVED"].style == "dim"
    scripted_runs.finished(platform, "r")
    record = platform.records["r"][6]
    record.scores[0].ratio, record.scores[0].floor_ratio = 0.02, 0.03
    record.scores.add(retention_set="code", ratio=0.01, floor_ratio=1e-6)
    row = dual_rows(client.history("r"), [], SEED)[6]
    assert (row.worst_set, row.severity) == ("code", "OK")  # 0.02 of a coarse gauge counts as 0
    record.scores[1].ratio = -0.01
    row = dual_rows(client.history("r"), [], SEED)[6]
    assert (row.worst_set, row.severity, row.floor) == ("general", "UNRESOLVED", 0.03)
    console = Console(file=io.StringIO(), width=80)
    console.print(dual_table([row]))
    assert "≈ Noise" in text(console)


def test_a_stage_is_marked_with_the_floor_of_its_worst_set(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    run = platform.runs["r"]
    stage = run.status.stages[1]
    stage.forgetting, stage.worst_set = 0.02, "general"
    del stage.scores[:]
    stage.scores.add(retention_set="general", ratio=0.02)
    platform.put(run)
    assert SEED.of_stage(client.get_run("r").stages[1]) == "OK"
    stage.scores[0].floor_ratio = 0.05
    platform.put(run)
    assert SEED.of_stage(client.get_run("r").stages[1]) == "UNRESOLVED"


def test_following_tells_each_decision_once(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    console = paper()
    run = follow(client, "r", PlainView(console))
    assert run.state == "SUCCEEDED"
    assert text(console).count("roll back") == 1
    assert text(console).count("accept") == 3


def test_without_a_terminal_a_long_interval_is_told_every_half_minute(
    platform: FakePlatform, client: RetainClient
) -> None:
    """40 steps of 18 s between two boundaries: something at most every 30 s, and with it what is left."""
    scripted_runs.suspended(platform, "r")
    first = client.get_run("r")
    stages = tuple(replace(s, state="RUNNING", tokens_per_second=28.44, time_left_seconds=702.0) for s in first.stages)
    run = replace(first, status=replace(first.status, state="RUNNING", phase="TRAINING", stages=stages[:1]))
    now_s = 1000.0
    console = paper()
    with PlainView(console, clock=lambda: now_s) as view:
        for _ in range(61):  # two minutes, a change every two seconds
            view.show(run)
            now_s += 2.0
    lines = text(console).splitlines()
    assert len(lines) == 5, "at once, and after 30, 60, 90 and 120 seconds"
    assert all("28.4 tok/s" in line and "11 min 42 s left" in line for line in lines)


def test_the_time_that_boundaries_took_is_told_with_the_rest(platform: FakePlatform, client: RetainClient) -> None:
    run = scripted_runs.suspended(platform, "r")
    assert "boundaries" not in stage_detail(client.get_run("r").stages[1])
    run.status.stages[1].boundary_share = 0.3333
    platform.put(run)
    known = client.get_run("r")
    assert "boundaries 33.3 % of the time" in stage_detail(known.stages[1])
    console = paper()
    console.print(stages_table(known))
    assert text(console).count("33.3 %") == 1


def test_on_a_terminal_there_is_a_bar_for_each_stage(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.suspended(platform, "r")
    console = paper(terminal=True)
    run = follow(client, "r", TerminalView(console))
    assert run.state == "SUSPENDED"
    for expected in ("prepare", "pretrain", "midtrain/code", "finetune", "waits for a person", "forgetting +24.0 %"):
        assert expected in text(console)


def test_the_menu_refuses_a_locked_stage_and_says_what_unlocks_it(platform: FakePlatform, client: RetainClient) -> None:
    assert "locked. It needs a base model" in _walk(client, ["2", "q"])
    assert "Mid-training teaches a domain" in _walk(client, ["2", "q"])


def test_the_menu_starts_a_mid_training_on_a_chosen_base(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    base = next(row for row in client.checkpoints() if row.kind == "PRETRAIN" and row.state == "ACCEPTED")

    def cancelled(run: res.PipelineRun) -> None:
        run.status.state = res.RUN_STATE_CANCELLED

    platform.on_create = cancelled
    _walk(client, ["2", "s", "MATH", "1", "y", "q"])
    spec = client.list_runs(limit=1)[0].resource["spec"]
    assert spec["model"]["checkpoint"] == base.ref.uri
    assert [(s["kind"], s["domain"]) for s in spec["stages"]] == [("STAGE_KIND_MIDTRAIN", "DOMAIN_MATH")]
    assert spec["stages"][0]["data"]["domain"] == "sample://math"


def test_the_menu_lets_a_person_decide(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.suspended(platform, "r")
    _walk(client, ["r", "1", "c", "q"])
    assert any(call.startswith("ApprovePipelineRun APPROVE_ACTION_CONTINUE") for call in platform.calls)


def test_the_menu_teaches(platform: FakePlatform, client: RetainClient) -> None:
    assert "three-stage pipeline" in _walk(client, ["l", "1", "q"])
    number = str(len(guides.guides()) + 1)
    assert "A process that was taken for dead" in _walk(client, ["l", number, "1", "q"])
    assert "A process that was taken for dead" not in _walk(client, ["l", number, "b", "q"])


def test_the_demo_tells_the_whole_run(platform: FakePlatform, client: RetainClient) -> None:
    platform.on_create = lambda run: scripted_runs.finished(platform, run.id)
    console = paper()
    assert show(client, "math", console) == 0
    told = text(console)
    for expected in (
        "Training Pipeline Progress",
        "Dual perplexity",
        "roll back",
        "once upon a time",
        "right on 24 unseen questions: 0 before (0.0 %), 0 after (0.0 %)",
        "retain answers run-1",
        "s3://retain/runs/",
        "SUCCEEDED",
    ):
        assert expected in told
    assert next(iter(platform.runs)) == "run-1"


def test_a_demo_that_does_not_succeed_says_so(platform: FakePlatform, client: RetainClient) -> None:
    platform.on_create = lambda run: scripted_runs.suspended(platform, run.id)
    console = paper()
    assert show(client, "code", console) == 5
    assert "SUSPENDED" in text(console)


def _walk(client: RetainClient, answers: list[str]) -> str:
    """Walks the menus with these answers; each must be among the choices that were offered."""
    left = list(answers)

    def ask(_: str, choices: list[str]) -> str:
        answer = left.pop(0)
        assert answer in choices
        return answer

    console = paper()
    Menu(client, console, ask=ask).main()
    assert not left
    return text(console)


def test_a_decision_on_a_score_that_is_too_good_is_never_shown_as_ok(
    platform: FakePlatform, client: RetainClient
) -> None:
    scripted_runs.finished(platform, "r")
    for decision in platform.decisions["r"]:
        decision.suspicious, decision.severity = True, res.SEVERITY_OK
    for decision in client.decisions("r"):
        assert decision_line(decision).plain.startswith("? ")
