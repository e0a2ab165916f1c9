"""Several runs side by side. The address names them: a refresh and a second tab show the same."""

import streamlit as st

from ui.client import ClientError
from ui.client.views import Run
from ui.panel.axes import NAMES, Axis
from ui.panel.compare.charts import lines, rows, scatter
from ui.panel.compare.frontier import frontier, point
from ui.panel.compare.settings import differing
from ui.panel.shared import choice, client, errors_shown, nothing_yet, show_error
from ui.render import formatting
from ui.render.perplexity_table import dual_rows
from ui.render.severity import Thresholds

CHOICES, MOST, POINTS = 50, 8, 300
FIGURES = {"train_loss_nats": "Loss", "forgetting": "Forgetting", "perplexity": "Perplexity"}
TITLES = {"train_loss_nats": "Training loss (nats a token)", "forgetting": "Forgetting", "perplexity": "Perplexity"}
FORMATS = {"train_loss_nats": ".4~g", "forgetting": "+.1~%", "perplexity": ".4~g"}


def _chosen() -> list[Run]:
    asked = [name for name in st.query_params.get("runs", "").split(",") if name][:MOST]
    with errors_shown():
        known = {run.id: run for run in client().list_runs(limit=CHOICES)}
    for name in asked:
        if name in known:
            continue
        try:
            known[name] = client().get_run(name)
        except ClientError as error:
            show_error(error)
    if "compared" not in st.session_state:
        st.session_state["compared"] = [name for name in asked if name in known]
    names = st.multiselect(
        "Runs",
        list(known),
        key="compared",
        format_func=lambda run_id: f"{run_id}  ({known[run_id].name})",
        max_selections=MOST,
        placeholder="Choose two to eight runs",
    )
    st.query_params["runs"] = ",".join(names)
    if len(known) < 2:
        nothing_yet("There are no two runs yet that could be compared.")
    elif len(names) < 2:
        st.caption("Choose two runs or more, here or on the page Pipelines.")
    return [known[name] for name in names]


def _lines(runs: list[Run]) -> None:
    with st.container(border=True):
        with st.container(horizontal=True):
            figure = choice("Figure", FIGURES, "figure")
            axis = Axis(choice("Over", NAMES, "over"))
        series = {run.id: client().metrics(run.id, names=(figure,), max_points=POINTS) for run in runs}
        points = rows(runs, series, axis)
        if not points:
            st.caption(f"{TITLES[figure]}: none of these runs has any yet. It comes with the first boundary.")
            return
        chart = lines(points, [run.id for run in runs], axis, TITLES[figure], FORMATS[figure])
        st.altair_chart(chart, key="compared_lines", alt=f"{TITLES[figure]} of the runs")


def _settings(runs: list[Run]) -> None:
    with st.container(border=True):
        st.subheader("Settings that differ")
        found = differing([run.own_spec for run in runs])
        if not found:
            st.caption("None: these runs have the same specification.")
            return
        st.dataframe(
            [{"Setting": path, **dict(zip((run.id for run in runs), values, strict=True))} for path, values in found],
            hide_index=True,
            key="differing",
            alt="Settings that are not the same in all runs",
        )


def _scatter(runs: list[Run]) -> None:
    found = []
    for run in runs:
        measured = dual_rows(client().history(run.id), client().decisions(run.id), Thresholds.of_spec(run.spec))
        one = point(run.id, measured)
        if one is not None:
            found.append(one)
    with st.container(border=True):
        st.subheader("Forgetting against gain")
        if not found:
            st.caption("None of these runs has a score and two measurements of its target yet.")
            return
        best = frontier(found)
        st.altair_chart(
            scatter(found, best, [run.id for run in runs]), key="scatter", alt="Forgetting over gain, with the frontier"
        )
        st.dataframe(
            [
                {
                    "Run": one.run_id,
                    "Stage": one.stage,
                    "Gain (nats a token)": round(one.gain, 4),
                    "Forgetting": formatting.percent(one.forgetting),
                    "On the frontier": "yes" if one in best else "no",
                }
                for one in found
            ],
            hide_index=True,
            key="gains",
            alt="Gain and forgetting of each run",
        )
        st.caption("On control sets. The frontier: no other of these runs gains more and forgets less.")
        if not all(one.from_base for one in found):
            st.caption("Where a stage's start was not measured, the gain is counted from its first boundary.")


st.title("Compare runs")
compared = _chosen()
if len(compared) > 1:
    with errors_shown():
        _lines(compared)
        _settings(compared)
        _scatter(compared)
