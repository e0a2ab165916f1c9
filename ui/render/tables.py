"""The tables that the command prints: progress, runs, dual perplexity, decisions, checkpoints, a plan."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from ui.answers import Answer
from ui.client.views import Checkpoint, Decision, Garbage, Plan, PlannedStage, Run, Stage, moment
from ui.render import formatting
from ui.render.kept import KeptRow
from ui.render.perplexity_table import DualRow
from ui.render.progress_table import ProgressRow
from ui.render.severity import MARKS, mark_of

STATUS = {
    "COMPLETE": ("✓ Complete", "green"),
    "RUNNING": ("● Running", "cyan"),
    "SUSPENDED": ("‖ Waits for a person", "yellow"),
    "FAILED": ("✗ Failed", "red"),
    "READY": ("○ Ready to start", "default"),
    "LOCKED": ("⊗ Locked", "dim"),
}
STATE_STYLES = {
    "PENDING": "blue",
    "RUNNING": "cyan",
    "SUSPENDED": "yellow",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELLED": "dim",
}


def titled(title: str, *columns: str, right: Sequence[str] = ()) -> Table:
    """An empty table; the columns named in `right` stand on the right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_style="bold", title_justify="left", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def narrow(table: Table, *, may_break: Sequence[str] = ()) -> Table:
    """The table with a blank between columns and none around them; only the named columns may break a cell in two."""
    table.padding, table.show_edge = (0, 0), False
    for column in table.columns:
        column.no_wrap = column.header not in may_break
    return table


def status_text(row: ProgressRow) -> Text:
    """`✓ Complete`, or `⊗ Needs a base model: ...`."""
    words_, style = STATUS.get(row.status, (row.status or "-", "default"))
    if row.status == "LOCKED" and row.unlocked_by:
        words_ = f"⊗ Needs {row.unlocked_by}"
    return Text(f"{words_}, {row.detail}" if row.detail else words_, style=style)


def progress_table(rows: Sequence[ProgressRow], *, title: str = "Training Pipeline Progress") -> Table:
    """The seed of every view: Stage, Checkpoints, Latest, Status."""
    table = titled(title, "Stage", "Checkpoints", "Latest", "Status", right=["Checkpoints"])
    # The one may name a run, the other what a stage needs.
    narrow(table, may_break=["Latest", "Status"]).columns[-1].min_width = 16
    for number, row in enumerate(rows, start=1):
        table.add_row(f"{number}  {row.title}", str(row.checkpoints), row.latest or "-", status_text(row))
    return table


def runs_table(runs: Sequence[Run]) -> Table:
    table = titled("Pipeline runs", "Run", "Name", "State", "Stage", "Forgetting", "Created", right=["Forgetting"])
    narrow(table, may_break=["Name", "Stage", "Created"])
    for run in runs:
        stage = current_stage(run)
        state = f"{run.state} (place {run.status.queue_position})" if run.status.queue_position else run.state
        where = f"{stage.name} {stage.step}/{stage.total_steps}" if stage else "-"
        forgetting = formatting.percent(stage.forgetting if stage else None)
        table.add_row(
            run.id,
            run.name,
            Text(state, STATE_STYLES.get(run.state, "")),
            where,
            forgetting,
            formatting.moment(run.create_time),
        )
    return table


def current_stage(run: Run) -> Stage | None:
    """The stage that is worked on, else the last that was; None before the first."""
    active = [stage for stage in run.stages if stage.state in {"RUNNING", "SUSPENDED", "FAILED"}]
    done = [stage for stage in run.stages if stage.state == "COMPLETE"]
    return active[0] if active else (done[-1] if done else None)


def dual_table(rows: Sequence[DualRow]) -> Table:
    """Domain and general perplexity side by side with the score, as the seed prints them; 80 columns hold it."""
    intervals = any(row.forgetting_low is not None for row in rows)
    amount = ["Step"] if intervals else ["Step", "Tokens"]  # the place of the one is the other's
    right = [*amount, "Target\nPPL", "General\nPPL", "Forgetting"]
    columns = ["Stage", *right, *(["95 %"] if intervals else []), "Status", "Then"]
    table = narrow(titled("Dual perplexity and forgetting", *columns, right=right))
    previous = ("", 0)
    for row in rows:
        mark = MARKS[row.severity]
        line = (row.stage, row.attempt)
        same_stage = row.stage == previous[0]
        shown = "" if line == previous else f"  attempt {row.attempt}" if same_stage else row.stage
        if line != previous and previous[0]:
            table.add_section()
        previous = line
        interval = (
            f"{100 * row.forgetting_low:+.1f}…{100 * row.forgetting_high:+.1f}"
            if row.forgetting_low is not None and row.forgetting_high is not None
            else ""
        )
        table.add_row(
            shown,
            str(row.step),
            *([] if intervals else [formatting.amount(row.tokens)]),
            formatting.ppl(row.target_perplexity),
            formatting.ppl(row.general_perplexity),
            formatting.percent(row.forgetting),
            *([interval] if intervals else []),
            Text(f"{mark.sign} {mark.word}" if row.severity else mark.sign, mark.style),
            row.verdict.replace("_", " ").lower(),
        )
    return table


ANSWER_CHARACTERS = 70  # of what is not right: enough to see that it is noise


def answers_table(answers: Sequence[Answer], *, title: str = "Answers") -> Table:
    """Question, answer before, answer after, right answer: three answers side by side, each marked."""
    table = Table(title=title, box=box.HORIZONTALS, title_style="bold", title_justify="left", show_lines=True)
    expected = any(answer.expected is not None for answer in answers)
    for column in ("Question", "Before", "After", *(["Expected"] if expected else [])):
        table.add_column(column, overflow="fold", ratio=1)
    for answer in answers:
        said = [_said(answer.before, answer.right_before), _said(answer.after, answer.right_after)]
        table.add_row(Text(answer.prompt), *said, *([Text(answer.expected or "-")] if expected else []))
    return table


def _said(text: str, right: bool | None) -> Text:
    shown = text if right else " ".join(text.split())  # noise has more line ends than words
    if not right and len(shown) > ANSWER_CHARACTERS:
        shown = f"{shown[:ANSWER_CHARACTERS].rstrip()} …"
    if right is None:
        return Text(shown or "(nothing)")
    return Text(f"{'✓' if right else '✗'} {shown or '(nothing)'}", "green" if right else "red")


def decision_line(decision: Decision) -> Text:
    """One decision on one line: what, where, why."""
    mark = mark_of(decision)
    verdict = decision.verdict.replace("_", " ").lower()
    text = Text(f"{mark.sign} ", mark.style)
    text.append(f"{decision.stage} step {decision.step}: ", "bold")
    text.append(f"{verdict}. ", mark.style)
    text.append(decision.message)
    return text


def decisions_table(decisions: Sequence[Decision]) -> Table:
    """Each decision with its reason: the score that was compared with its bound, the changed share or learning rate."""
    table = titled("Decisions", "#", "Stage", "Step", "Verdict", "Why", right=["#", "Step"])
    narrow(table, may_break=["Why"])
    for decision in decisions:
        table.add_row(
            str(decision.number),
            f"{decision.stage} ({decision.attempt})",
            str(decision.step),
            Text(decision.verdict.replace("_", " ").lower(), mark_of(decision).style),
            decision.message if decision.actor in {"", "gate"} else f"{decision.actor}: {decision.message}",
        )
    return table


# What may be resumed from is plain, what was accepted stands out, what was set aside warns, what is gone is dim.
CHECKPOINT_STYLES = {"ACCEPTED": "green", "DAMAGED": "red", "VOID": "dim", "PRUNING": "dim", "PRUNED": "dim"}


def checkpoints_table(checkpoints: Sequence[Checkpoint]) -> Table:
    table = titled(
        "Checkpoints",
        "Checkpoint",
        "Digest",
        "Parent",
        "State",
        "Forgetting",
        "Loss",
        "Size",
        right=["Forgetting", "Loss", "Size"],
    )
    narrow(table, may_break=["Checkpoint", "State"])
    for row in checkpoints:
        table.add_row(
            row.id,
            row.ref.manifest_sha256[:8],
            row.parent[:8] or "-",
            Text(row.standing, CHECKPOINT_STYLES.get(row.state, "")),
            formatting.percent(row.forgetting),
            f"{row.train_loss_nats:.3f}" if row.train_loss_nats else "-",
            formatting.file_size(row.bytes),
        )
    return table


def plan_table(plan: Plan) -> Table:
    table = titled(
        "Plan",
        "Stage",
        "Tokens",
        "Steps",
        "Boundaries",
        "Peak LR",
        "Must keep",
        "Builds on",
        right=["Tokens", "Steps", "Boundaries", "Peak LR"],
    )
    for stage in plan.stages:
        late = "after preparing"
        table.add_row(
            stage.name,
            formatting.amount(stage.tokens) if stage.tokens else late,
            str(stage.steps) if stage.steps else late,
            str(stage.boundaries) if stage.boundaries else late,
            f"{stage.learning_rate:g}",
            must_keep(stage),
            stage.base or "random weights",
        )
    return table


def cost_lines(plan: Plan) -> list[str]:
    """What the boundaries of each stage will cost, what that rests on, and what would be cheaper; empty where it cannot
    be estimated yet."""
    lines: list[str] = []
    basis: tuple[str, ...] = ()
    for stage in plan.stages:
        cost = stage.boundary_cost
        if cost is None:
            continue
        each = f"upload {formatting.file_size(cost.checkpoint_bytes)} in {formatting.seconds(cost.upload_seconds)}"
        tokens = formatting.amount(cost.evaluation_tokens)
        each += f", verdict on {tokens} tokens in {formatting.seconds(cost.evaluation_seconds)}"
        share = formatting.percent(cost.share, signed=False)
        lines.append(f"{stage.name}: boundaries about {share} of the time; each: {each}")
        basis = cost.basis
    if basis:
        lines.append(f"An estimate: {'; '.join(basis)}")
    return lines


def must_keep(stage: PlannedStage) -> str:
    """The retention sets of a planned stage, and which of them nothing replays."""
    replayed = [name for name in stage.retention_sets if name not in stage.never_replayed]
    never = f"never replayed: {', '.join(stage.never_replayed)}" if stage.never_replayed else ""
    return "; ".join(filter(None, [", ".join(replayed), never])) or "-"


def stages_table(run: Run) -> Table:
    """Numbers of each stage: how far, how fast, how good, how much was forgotten."""
    right = ["Step", "Tokens", "Loss", "Tok/s", "Forgetting", "Retries"]
    table = titled(
        "Stages",
        "Stage",
        "Step",
        "Tokens",
        "Loss",
        "Tok/s",
        "Forgetting",
        "Replay",
        "LR x",
        "Retries",
        "Time",
        right=right,
    )
    for stage in run.stages:
        table.add_row(
            stage.name,
            f"{stage.step}/{stage.total_steps or '?'}",
            f"{formatting.amount(stage.tokens)}/{formatting.amount(stage.total_tokens) if stage.total_tokens else '?'}",
            f"{stage.train_loss_nats:.3f}" if stage.train_loss_nats else "-",
            formatting.rate(stage.tokens_per_second) if stage.tokens_per_second else "-",
            f"{formatting.percent(stage.forgetting)} {stage.worst_set}".strip(),
            formatting.shares(stage.shares),
            f"{stage.lr_scale:g}" if stage.lr_scale else "-",
            str(stage.retries),
            _time(stage),
        )
    return table


def kept_table(rows: Sequence[KeptRow]) -> Table:
    """What was kept of each retention set: of replayed sources, and of text that nothing replays."""
    right = ["Replayed", "PPL before", "PPL now", "Forgetting"]
    table = titled("What is kept", "Stage", "Set", *right, "95 %", "", right=right)
    narrow(table, may_break=[""])
    previous = ""
    for row in rows:
        if row.stage != previous and previous:
            table.add_section()
        table.add_row(
            "" if row.stage == previous else row.stage,
            row.set_name,
            row.replayed,
            formatting.ppl(row.baseline_perplexity),
            formatting.ppl(row.perplexity),
            formatting.percent(row.score.ratio),
            row.interval,
            Text(row.note or f"{row.mark.sign} {row.mark.word}", "dim" if row.note else row.mark.style),
        )
        previous = row.stage
    return table


def _time(stage: Stage) -> str:
    """How long it has taken, below it how long it will still take, and the share of its boundaries."""
    lines = [formatting.duration(stage.wall_seconds) if stage.wall_seconds else "-"]
    if stage.time_left_seconds is not None and stage.state == "RUNNING":
        lines.append(f"{formatting.duration(stage.time_left_seconds)} left")
    if stage.boundary_share is not None:
        lines.append(f"boundaries {formatting.percent(stage.boundary_share, signed=False)}")
    return "\n".join(lines)


def garbage_table(garbage: Garbage) -> Table:
    """What nothing in the store refers to, and why."""
    title = "Nothing refers to" if garbage.dry_run else "Deleted"
    table = titled(title, "What", "Where", "Objects", "Size", "Newest", "Why", right=["Objects", "Size"])
    narrow(table, may_break=["Where", "Why"])
    for item in garbage.items:
        where = item.uri.split("/", 3)[-1]
        table.add_row(
            item.kind.replace("_", " "),
            where,
            str(item.objects),
            formatting.file_size(item.bytes),
            formatting.moment(moment(item.update_time_s)),
            item.reason,
        )
    return table
