"""What the page of a run shows, as plain data: axes, figures, the timeline, logs, changes, rights."""

import json
import math
from dataclasses import replace

import pyarrow as pa
import pytest

from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import spec_pb2
from services.common.identity.permissions import Permission, permissions_of
from services.common.identity.principal import Role
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui.client.client import RetainClient
from ui.client.convert import to_view
from ui.client.errors import BadInput
from ui.client.spec import to_message
from ui.client.views import LogText, MetricSeries, Run
from ui.panel.axes import Axis, starts
from ui.panel.live import Snapshot
from ui.panel.rights import may_act
from ui.panel.run import actions, changes, logs, parts
from ui.panel.run.pieces import is_another_page
from ui.panel.run.series import begins, figures
from ui.panel.run.timeline import attempts, timeline
from ui.panel.run.training_charts import draw_figures
from ui.spec.file import parse_yaml, to_yaml


def series(stage: str, values: tuple[float, ...], *, name: str = "train_loss_nats", of: str = "") -> MetricSeries:
    """Points at steps 10, 20, ... of 100 tokens each, a second apart from 1000 s on."""
    steps = tuple(range(10, 10 * len(values) + 1, 10))
    return MetricSeries(
        name=name,
        set=of,
        stage=stage,
        steps=steps,
        tokens=tuple(100 * step for step in steps),
        unix_seconds=tuple(1000.0 + step / 10 for step in steps),
        attempts=(1,) * len(values),
        values=values,
    )


def run_of(*stages: tuple[str, int, int]) -> Run:
    """Stages by name, steps and tokens in all."""
    message = res.PipelineRun(id="r")
    for name, steps, tokens in stages:
        message.status.stages.add(name=name, total_steps=steps, total_tokens=tokens)
    return to_view(Run, message)


@pytest.mark.parametrize(
    ("axis", "places"),
    [
        (Axis.TOKENS, [1000, 2000, 5000 + 1000]),
        (Axis.STEPS, [10, 20, 50 + 10]),
        (Axis.TIME, [1_001_000.0, 1_002_000.0, 1_001_000.0]),
    ],
)
def test_stages_follow_one_another_on_each_axis(axis: Axis, places: list[float]) -> None:
    run = run_of(("pretrain", 50, 5000), ("midtrain/code", 40, 4000))
    known = [series("pretrain", (3.0, 2.0)), series("midtrain/code", (2.5,))]
    (loss,) = figures(known, begins(run, known, axis))
    assert [row["x"] for row in loss.rows] == places
    assert [row["value"] for row in loss.rows] == [3.0, 2.0, 2.5]


def test_a_stage_without_a_planned_length_is_as_long_as_it_is_known_to_be() -> None:
    run = run_of(("pretrain", 0, 0), ("finetune", 0, 0))
    known = [series("pretrain", (3.0, 2.0)), series("finetune", (1.0,))]
    assert begins(run, known, Axis.TOKENS).by_stage == (("pretrain", 0), ("finetune", 2000))
    assert starts(run, Axis.STEPS).by_stage == (("pretrain", 0), ("finetune", 0))


def test_points_that_are_no_number_are_counted_and_not_drawn() -> None:
    run = run_of(("pretrain", 50, 5000))
    known = [series("pretrain", (3.0, math.nan, 2.0)), series("pretrain", (0.1,), name="share", of="general")]
    loss, share = figures(known, begins(run, known, Axis.STEPS))
    assert ([row["step"] for row in loss.rows], loss.left_out) == ([10, 30], 1)
    assert share.sets == ("general",)
    drawn = draw_figures(tuple(known), begins(run, known, Axis.TIME))
    assert [figure.title for figure, _ in drawn] == ["Training loss (nats a token)", "Share of replay"]
    spec = drawn[0][1].to_dict()
    (rows,) = (
        pa.ipc.open_stream(stream).read_all() for name, stream in spec.pop("datasets").items() if "table" in name
    )
    assert (rows["step"].to_pylist(), rows["value"].to_pylist()) == ([10, 30], [3.0, 2.0])
    assert '"type": "temporal"' in json.dumps(spec)


def test_a_decision_is_told_with_its_evidence(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    told = timeline(client.decisions("r"), client.checkpoints(run_id="r"))
    rolled = next(entry for entry in told if entry.verdict == "roll back")
    assert rolled.why == "23.0 % is at or over 20 %: back to step 40"
    assert rolled.evidence == ("Forgetting of general: +23.0 %", "That was compared with 10.0 %")
    assert rolled.follows == "back to step 40, replay general 30 %"
    assert (rolled.mark.sign, rolled.actor) == ("✗", "the gate")
    assert rolled.checkpoint == "r/midtrain/code/attempt-1/step-000000060"
    assert [entry.number for entry in told] == list(range(18, 0, -1))
    next(made for made in platform.decisions["r"] if made.HasField("target")).ClearField("target")
    told = timeline(client.decisions("r"), ())
    assert (
        next(one for one in told if one.verdict == "roll back").follows
        == "back to the stage's start, replay general 30 %"
    )


def test_evidence_names_interval_projection_and_what_is_in_doubt(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    made = platform.decisions["r"][7]
    made.projected, made.suspicious, made.lr_scale = 0.17, True, 0.5
    score = made.scores.add(retention_set="general", ratio=0.12, ratio_low=0.11, ratio_high=0.13)
    score.baseline_perplexity, score.perplexity = 50.0, 56.0
    made.scores.add(retention_set="gauge-code", ratio=0.9, shown_only=True)
    entry = next(entry for entry in timeline(client.decisions("r"), []) if entry.number == made.number)
    assert entry.evidence == (
        "Forgetting of general: +12.0 % (95 % interval +11.0 % to +13.0 %), perplexity 50 before and 56 now",
        "Projected to the end it is +17.0 %; that was compared with 10.0 %",
        "It is lower than a healthy baseline allows: the baseline or the set is in doubt",
        "gauge-code: +90.0 % (shown only)",
    )
    assert entry.follows == "replay general 20 %, learning rate x 0.5"
    assert entry.checkpoint == ""


def test_attempts_say_how_they_ended(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "r")
    found = {(one.stage, one.attempt): one for one in attempts(client.decisions("r"), client.checkpoints(run_id="r"))}
    first = found["midtrain/code", 1]
    assert (first.first_step, first.last_step, first.outcome) == (20, 60, "✗ roll back")
    cut_short = attempts([], [row for row in client.checkpoints(run_id="r") if row.stage == "pretrain"])
    assert [(one.last_step, one.outcome) for one in cut_short] == [(120, "")]


def test_an_excerpt_has_numbers_where_lines_were_searched_for() -> None:
    whole = logs.excerpt([LogText(submission=1, text="a\nb"), LogText(submission=1, text="c\n\nd\n")])
    assert (whole.lines, whole.text) == (("a", "bc", "", "d"), "a\nbc\n\nd")
    found = logs.excerpt([LogText(submission=1, text="x", line=9), LogText(submission=1, text="y", line=10)])
    assert found.text == " 9  x\n10  y"
    assert logs.excerpt([]).text == ""


def test_worker_groups_are_kept_apart_in_a_file() -> None:
    pieces = [LogText(submission=1, text="a1\n"), LogText(submission=1, text="a2\n"), LogText(submission=2, text="b")]
    assert "".join(logs.as_file(pieces)) == "=== worker group 1 ===\na1\na2\n=== worker group 2 ===\nb"


def changeable() -> Run:
    message = res.PipelineRun(id="r", spec=scripted_runs.spec())
    message.spec.checkpoints.keep_last = 3
    message.spec.forgetting.max_retries = 2
    message.spec.labels.update({"owner": "ada", "sweep": "lr"})
    return to_view(Run, message)


def test_only_what_differs_is_changed() -> None:
    run = changeable()
    labels = changes.labels_text(run)
    assert changes.changed(run, keep_last=3, budget_percent=10.0, max_retries=2, labels=labels) == {}
    assert changes.changed(run, keep_last=5, budget_percent=12.5, max_retries=None, labels="owner=bob\nseed = 1\n") == {
        "checkpoints.keep_last": 5,
        "forgetting.budget": 0.125,
        "labels.owner": "bob",
        "labels.seed": "1",
        "labels.sweep": None,
    }


def test_a_line_that_is_no_label_is_refused_by_its_number() -> None:
    with pytest.raises(BadInput) as refused:
        changes.parse_labels("a=1\nb\na=2")
    assert [fault.field for fault in refused.value.violations] == ["labels line 2", "labels line 3"]


def test_the_specification_of_a_run_is_its_own_and_makes_the_same_run_again() -> None:
    message = res.PipelineRun(spec=scripted_runs.spec())
    message.spec.stages[1].data.general_share = 0.0  # said, and not nothing
    text = to_yaml(to_view(Run, message).own_spec)
    assert "tokens: 491520" in text
    again, faults = to_message(parse_yaml(text, name="file"))
    assert (again, faults) == (message.spec, [])
    assert isinstance(again, spec_pb2.PipelineSpec)


def test_a_retry_says_where_it_resumes(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.tell(platform, "r", until="midtrain/code")
    run = client.get_run("r")
    assert actions.resumes_at(run) == "at the beginning of midtrain/code"
    stage = platform.runs["r"].status.stages[1]
    stage.latest.step = 40  # what the server still counts, whatever was set aside after it
    assert actions.resumes_at(client.get_run("r")) == "at step 40 of midtrain/code"


def test_time_left_is_said_only_of_what_runs() -> None:
    message = res.PipelineRun(id="r")
    message.status.state = res.RUN_STATE_RUNNING
    message.status.stages.add(name="pretrain", state=res.STAGE_STATE_RUNNING, time_left_seconds=3725.0)
    run = to_view(Run, message)
    assert parts.time_left(run, run.stages[0]) == "1 h 02 min"
    assert parts.time_left(run, replace(run.stages[0], time_left_seconds=None)) == "known after the first steps"
    message.status.state = res.RUN_STATE_CANCELLED
    assert parts.time_left(to_view(Run, message), run.stages[0]) == "-"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ADMIN])
def test_who_may_act_is_who_the_server_lets(role: Role) -> None:
    allowed = permissions_of([role])
    for needed in (Permission.WRITE, Permission.SAMPLE, Permission.EXPORT):
        assert may_act([role.value]) == (needed in allowed)
    assert may_act(None)
    assert not may_act([])


def test_the_whole_page_is_drawn_anew_where_its_parts_do_not_move(platform: FakePlatform, client: RetainClient) -> None:
    scripted_runs.finished(platform, "ended")
    scripted_runs.suspended(platform, "open")
    ended, at_work = client.get_run("ended"), client.get_run("open")
    cases = [
        (None, None, "specification", False),  # it has not come yet
        (None, at_work, "specification", True),
        (None, at_work, "logs", True),
        (None, at_work, "live", False),  # its parts are drawn by themselves
        (None, ended, "live", True),
        (at_work, at_work, "specification", False),
        (at_work, ended, "specification", True),
        (ended, at_work, "live", True),
        (ended, ended, "live", False),
    ]
    for seen, now, view, anew in cases:
        assert is_another_page(Snapshot(run=now), seen=seen, view=view) is anew, (seen, now, view)
