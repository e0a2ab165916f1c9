"""The parts of a run's page: stages with their progress, charts, the timeline of decisions, report figures."""

from collections.abc import Sequence

import streamlit as st

from ui.answers import Answer, score, score_line
from ui.client.views import Checkpoint, Decision, Run, Stage
from ui.panel.axes import Axis
from ui.panel.charts import draw, stage_starts
from ui.panel.live import Snapshot
from ui.panel.run.series import begins
from ui.panel.run.timeline import Entry, timeline
from ui.panel.run.training_charts import draw_figures
from ui.panel.shared import STATUS_LABELS, as_text
from ui.render import formatting
from ui.render.kept import kept_rows
from ui.render.perplexity_table import DualRow
from ui.render.probe_table import probe_rows
from ui.render.progress_table import TITLES, doing, worked_on
from ui.render.severity import MARKS, Thresholds, mark_of

TOLD = 8  # decisions that are told in words; the table has all


def stages(run: Run, thresholds: Thresholds) -> None:
    """A card per stage: how far, how fast, what was forgotten."""
    present = worked_on(run)
    for column, stage in zip(st.columns(max(1, len(run.stages))), run.stages, strict=False):
        with column, st.container(border=True, height="stretch"):
            name = TITLES[stage.kind] + (f" ({stage.domain.lower()})" if stage.domain else "")
            st.markdown(f"**{name}**  \n{stage_standing(run, stage)}")
            if stage is present and run.status.phase == "PREPARING":
                prepared = min(1.0, run.status.prepare_progress)
                st.progress(prepared, text=f"{formatting.percent(prepared, signed=False)} of the data is prepared")
                continue
            if stage.state == "LOCKED":
                st.caption(f"Needs {stage.unlocked_by}" if stage.unlocked_by else "Needs the stage before it")
                continue
            done = stage.step / stage.total_steps if stage.total_steps else 0.0
            st.progress(min(1.0, done), text=f"step {stage.step:,} of {stage.total_steps or 0:,}")
            mark = MARKS[thresholds.of_stage(stage)]
            facts = _facts(run, stage, f"{mark.sign} " if stage.forgetting is not None else "")
            st.caption("  \n".join(f"{label}: **{value}**" for label, value in facts if value != "-"))


def stage_standing(run: Run, stage: Stage) -> str:
    """`● Running: preparing data` for the stage that the run is at work for; its state for the others."""
    if stage is worked_on(run) and (now := doing(run)):
        return f"{STATUS_LABELS['RUNNING']}: {now}"
    return STATUS_LABELS.get(stage.state, stage.state)


def _facts(run: Run, stage: Stage, sign: str) -> list[tuple[str, str]]:
    """What is known of a stage, and what it is of."""
    share = stage.boundary_share
    return [
        ("Time left", time_left(run, stage)),
        ("Took", formatting.duration(stage.wall_seconds) if stage.state == "COMPLETE" else "-"),
        ("Loss", f"{stage.train_loss_nats:.3f}" if stage.train_loss_nats else "-"),
        ("Tokens/s", formatting.rate(stage.tokens_per_second) if stage.tokens_per_second else "-"),
        ("Boundaries", "-" if share is None else f"{formatting.percent(share, signed=False)} of the time"),
        ("Forgetting", f"{sign}{formatting.percent(stage.forgetting)} {as_text(stage.worst_set)}".strip()),
        ("Replay", as_text(formatting.shares(stage.shares)) if stage.shares else "-"),
        ("LR factor", f"{stage.lr_scale:g}" if stage.lr_scale else "-"),
        ("Attempt", f"{stage.attempt} ({stage.retries} rolled back)" if stage.retries else str(stage.attempt)),
        *([("Curriculum level", str(stage.curriculum_level))] if stage.curriculum_level else []),
    ]


def time_left(run: Run, stage: Stage) -> str:
    """To the stage's end, boundaries included, by the pace of its steps, which outlives a resume; in words where there
    is none."""
    if stage.state != "RUNNING" or run.state != "RUNNING":
        return "-"
    if stage.time_left_seconds is None:
        return "known after the first steps"
    return formatting.duration(stage.time_left_seconds)


def charts(run: Run, rows: Sequence[DualRow], thresholds: Thresholds, axis: Axis) -> None:
    """Both charts, once there is something to draw."""
    left, right = st.columns(2)
    perplexity, forgetting = draw(tuple(rows), stage_starts(rows, run, axis), thresholds)
    with left, st.container(border=True, height="stretch"):
        st.subheader("Perplexity, general and target")
        if perplexity is None:
            st.caption("The first boundary has not been measured yet.")
        else:
            st.altair_chart(perplexity, key="perplexity", alt="General and target perplexity, with the baseline")
    with right, st.container(border=True, height="stretch"):
        st.subheader("Forgetting")
        if forgetting is None:
            st.caption("Not measured yet: in pre-training there is no earlier ability to lose.")
        else:
            st.altair_chart(forgetting, key="forgetting", alt="Forgetting in its bands, with the gate's decisions")


def training(run: Run, snapshot: Snapshot, axis: Axis) -> None:
    """Loss, speed, rate, shares and curriculum level as they went."""
    drawn = draw_figures(snapshot.series, begins(run, snapshot.series, axis))
    if not drawn:
        return
    with st.container(border=True):
        st.subheader("Training")
        columns = st.columns(2)
        for number, (figure, chart) in enumerate(drawn):
            with columns[number % 2]:
                st.markdown(f"**{figure.title}**")
                st.altair_chart(chart, key=f"figure_{figure.name}", alt=figure.title)
                if figure.left_out:
                    st.caption(f"{figure.left_out} points are no finite number, and not drawn.")


def kept(run: Run, thresholds: Thresholds) -> None:
    """Every retention set beside the others: those that are replayed, and those that nothing replays."""
    rows = kept_rows(run.stages, thresholds)
    if not rows:
        return
    with st.container(border=True):
        st.subheader("What is kept")
        st.dataframe(
            [
                {
                    "Stage": row.stage,
                    "Set": row.set_name,
                    "Replayed": row.replayed,
                    "Perplexity before": formatting.ppl(row.baseline_perplexity),
                    "now": formatting.ppl(row.perplexity),
                    "Forgetting": f"{row.mark.sign} {formatting.percent(row.score.ratio)}",
                    "95 %": row.interval or "-",
                    "Note": row.note or row.mark.word,
                }
                for row in rows
            ],
            hide_index=True,
            key="kept",
            alt="Forgetting of every retention set, replayed or never replayed",
        )
        st.caption("A score on a replayed source also says that this source is being learned; the others do not.")


def probe(run: Run) -> None:
    """What the fine-tuning's probe found: small questions that its start answered."""
    rows = probe_rows(run.stages)
    if not rows:
        return
    with st.container(border=True):
        st.subheader("Probe")
        st.dataframe(
            [
                {
                    "Stage": row.stage,
                    "Items": row.kind,
                    "Right before": row.before,
                    "now": row.now,
                    "Lost": row.lost,
                    "95 %": row.interval,
                    "Note": row.note,
                }
                for row in rows
            ],
            hide_index=True,
            key="probe",
            alt="Items of the probe that the stage's start and the model now get right",
        )
        st.caption("Only a loss whose whole interval lies at or over forgetting.probe.budget is acted on.")


def decisions(made: Sequence[Decision], checkpoints: Sequence[Checkpoint]) -> None:
    """The newest decisions with their evidence in words, and every one as a table."""
    with st.container(border=True):
        st.subheader("Decisions")
        if not made:
            st.caption("None yet: the gate decides at each boundary, once it is measured.")
            return
        for entry in timeline(made, checkpoints)[:TOLD]:
            _entry(entry)
        if made[-1].recommendations:
            st.markdown("**Recommendations**")
            st.markdown("\n".join(f"- {as_text(line)}" for line in made[-1].recommendations))
        with st.expander("Every decision as a table" if len(made) == 1 else f"All {len(made)} decisions as a table"):
            _decision_table(made)


def _entry(entry: Entry) -> None:
    """One decision: what, where and when; why; what was measured; what follows."""
    with st.container(gap="xxsmall"):
        sign = f"{entry.mark.sign} " if entry.evidence else ""  # where nothing was scored there is none
        said = f"**{sign}{as_text(entry.verdict)}** :gray[{as_text(entry.where)}]"
        st.markdown(f"{said}: {as_text(entry.why)}" if entry.why and entry.why != entry.verdict else said)
        if entry.evidence:
            st.caption(as_text(". ".join(entry.evidence) + "."))
        if entry.follows:
            st.caption(f"From here on: **{as_text(entry.follows)}**")
        st.caption(as_text(f"{entry.time}, by {entry.actor}"))
        if entry.checkpoint:
            st.page_link(
                "app_pages/checkpoints.py",
                label="Its checkpoint",
                icon=":material/inventory_2:",
                query_params={"checkpoint": entry.checkpoint},
            )
        st.space("xsmall")


def _decision_table(made: Sequence[Decision]) -> None:
    st.dataframe(
        [
            {
                "#": decision.number,
                "Stage": f"{decision.stage} ({decision.attempt})",
                "Step": decision.step,
                "Verdict": f"{mark_of(decision).sign} {decision.verdict.replace('_', ' ').lower()}",
                "Forgetting": formatting.percent(decision.forgetting),
                "Of": decision.worst_set,
                "Threshold": formatting.percent(decision.threshold, signed=False) if decision.threshold else "-",
                "Replay": formatting.shares(decision.shares),
                "LR x": f"{decision.lr_scale:g}",
                "Why": decision.message,
                "By": decision.actor,
            }
            for decision in reversed(made)
        ],
        hide_index=True,
        key="decisions",
        column_config={"Why": st.column_config.TextColumn(width="large")},
        alt="Decisions of the gate, newest first",
    )


def lineage(checkpoints: Sequence[Checkpoint]) -> None:
    """Every checkpoint of the run with its state, newest first: also those that were set aside, and why."""
    if not checkpoints:
        return
    with st.container(border=True):
        st.subheader("Checkpoints")
        st.dataframe(
            [
                {
                    "Stage": f"{row.stage} ({row.attempt})",
                    "Step": row.ref.step,
                    "State": row.standing,
                    "Forgetting": formatting.percent(row.forgetting),
                    "Size": formatting.file_size(row.bytes),
                    "Checkpoint": row.id,
                }
                for row in checkpoints
            ],
            hide_index=True,
            key="lineage",
            column_config={"State": st.column_config.TextColumn(width="medium")},
            alt="Checkpoints of the run, newest first",
        )


def answers(found: Sequence[Answer]) -> None:
    """Question, answer before, answer after, right answer: three answers side by side, and how many are right."""
    signs = {True: "✓ ", False: "✗ ", None: ""}
    st.dataframe(
        [
            {
                "Question": answer.prompt,
                "Before": signs[answer.right_before] + answer.before,
                "After": signs[answer.right_after] + answer.after,
                "Expected": answer.expected or "-",
            }
            for answer in found
        ],
        hide_index=True,
        key="answers_table",
        alt="Answers of the models before and after the fine-tuning, beside the right ones",
    )
    if score(found)[2]:
        st.markdown(score_line(found).capitalize())


def report(run: Run, thresholds: Thresholds) -> None:
    """Figures of the accepted checkpoints on the report sets, and where they are."""
    accepted = [stage for stage in run.stages if stage.accepted]
    if not accepted:
        return
    with st.container(border=True):
        st.subheader("Accepted checkpoints")
        table = []
        for stage in accepted:
            scores = ", ".join(
                f"{MARKS[thresholds.of_score(score)].sign} {score.retention_set} {formatting.percent(score.ratio)}"
                + (" (shown only)" if score.shown_only else "")
                for score in stage.report_scores
            )
            table.append(
                {
                    "Stage": stage.name,
                    "Forgetting (report set)": scores or "-",
                    "Checkpoint": stage.accepted.uri if stage.accepted else "",
                }
            )
        st.dataframe(table, hide_index=True, key="accepted", alt="Accepted checkpoints with their report figures")
