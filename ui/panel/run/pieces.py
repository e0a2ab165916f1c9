"""What a run's page is made of: parts that are drawn again when what they show has changed, and only then."""

import functools
from collections.abc import Callable

import streamlit as st

from ui import answers
from ui.client import ClientError
from ui.client.views import Run
from ui.panel.axes import Axis
from ui.panel.live import Snapshot
from ui.panel.refresh.parts import Part
from ui.panel.run import actions, log_view, parts
from ui.panel.shared import as_badge, as_text, client, may_act, state_badge
from ui.render import formatting
from ui.render.data.facts import data_lines
from ui.render.kept import kept_rows
from ui.render.perplexity_table import dual_rows
from ui.render.probe_table import probe_rows
from ui.render.progress_table import doing
from ui.render.severity import Thresholds
from ui.spec.file import to_yaml

MOVING = frozenset({"live", "checkpoints"})  # views that show what comes by themselves


def is_another_page(news: Snapshot, *, seen: Run | None, view: str) -> bool:
    """Whether the page that was drawn for the run as it was seen (None: it was not there yet) is drawn anew: the run
    has ended, or continues; or it is there now, and the view does not draw its parts by itself."""
    if news.run is None:
        return False
    if seen is None and view not in MOVING:
        return True
    return news.run.is_terminal == (seen is None or not seen.is_terminal)


def head(going: bool) -> Part[Snapshot]:
    """How the run stands, and what may be done about it, on a page that was drawn for a run that goes on or not."""

    def draw(snapshot: Snapshot) -> None:
        if snapshot.error:
            st.warning(as_text(snapshot.error), icon=":material/cloud_off:")
        run = snapshot.run
        if run is None:
            if not snapshot.error:
                st.caption("Reading the run ...")
            return
        if run.is_terminal == going:
            st.rerun()  # it has ended, or continues again: the page decides anew how often it looks
        _head(run)

    def drawn_from(snapshot: Snapshot) -> object:
        run = snapshot.run
        if run is None:
            return snapshot.error
        status = run.status
        said = (status.queue_position, status.message, status.reason, status.waiting_for, doing(run))
        return snapshot.error, run.name, run.create_time_s, run.spec.labels, said, actions.standing(run)

    return Part(name="head", draw=draw, drawn_from=drawn_from)


def _head(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(run.state)
        if now := doing(run):
            st.markdown(now)
        st.markdown(f"**{as_text(run.name)}**, created {formatting.moment(run.create_time)}")
        for key, value in sorted(run.spec.labels.items()):
            st.badge(as_badge(f"{key}={value}"), color="gray")
    if run.state == "PENDING" and run.status.queue_position:
        st.info(f"Place {run.status.queue_position} in the queue", icon=":material/hourglass_top:")
    if run.status.message or run.status.reason:
        (st.error if run.state == "FAILED" else st.warning)(as_text(run.status.message or run.status.reason))
    if run.status.waiting_for:
        st.info(f"Waits for: {as_text(run.status.waiting_for)}", icon=":material/hourglass_top:")
    if may_act():
        actions.buttons(run)


def body(view: str, axis: Axis) -> tuple[Part[Snapshot], ...]:
    """What of the run is looked at."""
    match view:
        case "checkpoints":
            return (_part("lineage", _lineage, lambda run, snapshot: snapshot.checkpoints),)
        case "logs":
            return (_part("logs", _logs, lambda run, snapshot: (snapshot.decisions, snapshot.checkpoints)),)
        case "specification":
            return (_part("specification", _specification, lambda run, snapshot: run.spec),)
        case _:
            return _live(axis)


def _part(
    name: str, draw: Callable[[Run, Snapshot], None], drawn_from: Callable[[Run, Snapshot], object]
) -> Part[Snapshot]:
    """One that shows nothing before the run is there."""

    def drawn(snapshot: Snapshot) -> None:
        if st.session_state.pop(actions.ACTED, False):
            st.rerun()  # the head of a run that has ended is not drawn by itself: it would offer what was set aside
        if snapshot.run is not None:
            draw(snapshot.run, snapshot)

    return Part(
        name=name,
        draw=drawn,
        drawn_from=lambda snapshot: None if snapshot.run is None else drawn_from(snapshot.run, snapshot),
    )


def _live(axis: Axis) -> tuple[Part[Snapshot], ...]:
    """Lengths of stages are in what charts are drawn from: they say where on the axis the next stage begins."""

    def lengths(run: Run) -> object:
        return Thresholds.of_spec(run.spec), [(one.name, one.total_tokens, one.total_steps) for one in run.stages]

    return (
        _part(
            "stages",
            lambda run, snapshot: parts.stages(run, Thresholds.of_spec(run.spec)),
            lambda run, snapshot: (run.state, doing(run), run.status.prepare_progress, run.stages),
        ),
        _part(
            "charts",
            functools.partial(_charts, axis=axis),
            lambda run, snapshot: (snapshot.history, snapshot.decisions, lengths(run)),
        ),
        _part(
            "training",
            lambda run, snapshot: parts.training(run, snapshot, axis),
            lambda run, snapshot: (snapshot.series, lengths(run)),
        ),
        _part("tables", _tables, _tables_from),
        _part(
            "decisions",
            lambda run, snapshot: parts.decisions(snapshot.decisions, snapshot.checkpoints),
            lambda run, snapshot: (snapshot.decisions, snapshot.checkpoints),
        ),
        _part("answers", _answers, lambda run, snapshot: [one.accepted for one in run.stages]),
    )


def _charts(run: Run, snapshot: Snapshot, *, axis: Axis) -> None:
    thresholds = Thresholds.of_spec(run.spec)
    parts.charts(run, dual_rows(snapshot.history, snapshot.decisions, thresholds), thresholds, axis)


def _tables(run: Run, snapshot: Snapshot) -> None:
    thresholds = Thresholds.of_spec(run.spec)
    parts.kept(run, thresholds)
    parts.probe(run)
    parts.report(run, thresholds)


def _tables_from(run: Run, snapshot: Snapshot) -> object:
    accepted = [(one.name, one.accepted, one.report_scores) for one in run.stages]
    return kept_rows(run.stages, Thresholds.of_spec(run.spec)), probe_rows(run.stages), accepted


def _lineage(run: Run, snapshot: Snapshot) -> None:
    parts.lineage(snapshot.checkpoints)
    if may_act():
        actions.set_aside(run, snapshot.checkpoints)


def _logs(run: Run, snapshot: Snapshot) -> None:
    log_view.attempts_table(snapshot)
    log_view.log_lines(run)


def _specification(run: Run, snapshot: Snapshot) -> None:
    st.caption("As the server keeps it for this run, with every default filled in: not what a form holds now.")
    text = to_yaml(run.own_spec)
    st.download_button("Download", text, f"{run.id}.yaml", icon=":material/download:", on_click="ignore")
    if may_act():
        actions.change_form(run)
    st.code(text, language="yaml")
    for line in data_lines(run.status):
        st.caption(as_text(line))


def _ask(run: Run) -> None:
    """Puts a person's own question, or unseen ones, to the models before and after the fine-tuning."""
    own = st.session_state.get("own_question", "").strip()
    try:
        pair = answers.compared(run)
        asked = [answers.Question(prompt=own)] if own else answers.unseen_questions(pair.chat, fields=pair.fields)
        st.session_state["answers"] = (run.id, answers.ask(client(), pair, asked))
    except ClientError as error:
        st.session_state[actions.FAILURE] = ("answers", error)


def _answers(run: Run, snapshot: Snapshot) -> None:
    """What the model learned in fine-tuning, once it is complete."""
    if not may_act() or not any(stage.kind == "FINETUNE" and stage.accepted for stage in run.stages):
        return
    with st.expander("Answers before and after the fine-tuning"):
        actions.show_failure("answers")
        st.caption("Questions that no training has seen, or one of your own, put to both models.")
        st.text_input("Your question (empty: unseen ones of the fine-tuning's data)", key="own_question")
        st.button("Ask both models", icon=":material/forum:", key="ask", on_click=_ask, args=(run,))
        asked_of, found = st.session_state.get("answers", ("", []))
        if asked_of == run.id:
            parts.answers(found)
