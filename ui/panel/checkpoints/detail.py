"""One checkpoint: how it stands, what it measures, where it comes from, its files; and two of them side by side."""

import itertools
import math
from collections.abc import Sequence

import streamlit as st

from retain.values import LinePoint, PointKind
from ui.client import ClientError
from ui.client.errors import RefusedByServer
from ui.client.views import Checkpoint, ForgettingRecord
from ui.panel.checkpoints.figures import line_points, measured, side_by_side
from ui.panel.checkpoints.lineage import ancestors, children, graph
from ui.panel.checkpoints.own_file import own_file
from ui.panel.compare.settings import differing
from ui.panel.shared import as_text, client, may_act, show_error
from ui.render import formatting

SAMPLE_TOKENS = 96
KINDS = {
    PointKind.SEGMENT: "all weights, so far from the parent",
    PointKind.FAPM: "the parent with this share of the changes (FAPM)",
    PointKind.PATH: "the mean with the checkpoint this far into the stage",
}


def _find(digest: str) -> Checkpoint | None:
    try:
        return client().checkpoint(digest)
    except RefusedByServer:
        return None  # pruned away with its run, or another project's
    except ClientError as error:
        if error.reason == "NOT_FOUND":
            return None
        raise


def figures(row: Checkpoint) -> ForgettingRecord | None:
    """Its measurement, if there is one."""
    return measured(row, client().history(row.run_id, stage=row.stage)) if row.run_id else None


def one(row: Checkpoint, others: tuple[Checkpoint, ...]) -> None:
    """All of one checkpoint."""
    with st.container(border=True):
        st.subheader(as_text(row.id))
        st.caption(
            as_text(
                f"{row.standing}; {formatting.file_size(row.bytes)}, {formatting.moment(row.create_time)}, "
                f"manifest {row.ref.manifest_sha256[:12]}"
            )
        )
        if row.run_id:
            st.page_link(
                "app_pages/run.py", label="Its run", icon=":material/monitoring:", query_params={"run": row.run_id}
            )
        found = side_by_side(None, figures(row))
        if found:
            st.dataframe(
                [{"Set": name, "Perplexity": formatting.ppl(value)} for name, _, value, _ in found],
                hide_index=True,
                key="figures",
                alt="Perplexity of the checkpoint on each set",
            )
        else:
            st.caption("It was not measured.")
        points = line_points(row, client().decisions(row.run_id)) if row.run_id else ()
        if points:
            _between(points)
        chain = ancestors(row, _find)
        st.graphviz_chart(graph(chain, children(row, others)), alt="Where the checkpoint comes from")
        if may_act() and row.state.usable:
            asked = {"b": row.id} | ({"a": chain[1].id} if len(chain) > 1 and chain[1].state.usable else {})
            st.page_link(
                "app_pages/try_it.py", label="Try it beside its parent" if "a" in asked else "Try it",
                icon=":material/forum:", query_params=asked,
            )  # fmt: skip
            own_file(row, [(name, value) for name, _, value, _ in found])
            _files(row)


def _between(points: Sequence[LinePoint]) -> None:
    """What the platform measured between a stage's parent and its result."""
    st.markdown("**Between the parent (0) and the result (1)**")
    st.dataframe(
        [
            {
                "Point": one.point,
                "What lies there": KINDS[one.kind or PointKind.SEGMENT],
                "Forgetting": formatting.percent(one.forgetting),
                "Worst set": one.worst_set or "-",
                "Target, perplexity": formatting.ppl(math.exp(one.target_loss_nats)),
            }
            for one in points
        ],
        hide_index=True,
        key="between",
        alt="Forgetting and perplexity of the target at points between parent and result",
    )
    st.caption("Measured at the stage's end, to take the one that learned most within the budget.")


def _files(row: Checkpoint) -> None:
    """Its files to download, once they are asked for: the links end by themselves."""
    with st.expander("Take it out"):
        st.caption("The whole folder, verified, as any Hugging Face tool opens it:")
        st.code(f"retain export {row.id} ./{row.stage.replace('/', '-') or 'model'}", language="bash")
        if st.button("Links to its files", icon=":material/download:", key="links"):
            try:
                export = client().export_checkpoint(row.id)
            except ClientError as error:
                show_error(error)
                return
            for file in export.files:
                st.markdown(f"[{as_text(file.path)}]({file.url}) ({formatting.file_size(file.bytes)})")
            st.caption("Whoever has such a link can read the file until it ends.")


def two(left: Checkpoint, right: Checkpoint) -> None:
    """Figures, specifications and texts of two checkpoints side by side."""
    with st.container(border=True):
        st.subheader("Side by side")
        st.caption(as_text(f"A: {left.id}"))
        st.caption(as_text(f"B: {right.id}"))
        rows = side_by_side(figures(left), figures(right))
        if rows:
            st.dataframe(
                [
                    {
                        "Set": name,
                        "A": formatting.ppl(a),
                        "B": formatting.ppl(b),
                        "ln(B / A)": "-" if change is None else f"{change:+.4f}",
                    }
                    for name, a, b, change in rows
                ],
                hide_index=True,
                key="both_figures",
                alt="Perplexity of both checkpoints on each set",
            )
            st.caption("Perplexities of different runs compare where their sets are the same.")
        _settings(left, right)
        if may_act() and left.state.usable and right.state.usable:
            _texts(left, right)


def _settings(left: Checkpoint, right: Checkpoint) -> None:
    if left.run_id == right.run_id or not (left.run_id and right.run_id):
        st.caption("Both are of one specification." if left.run_id == right.run_id else "An import has none.")
        return
    found = differing([client().get_run(row.run_id).own_spec for row in (left, right)])
    st.dataframe(
        [{"Setting": path, "A": a, "B": b} for path, (a, b) in found],
        hide_index=True,
        key="both_settings",
        alt="Settings that differ between the runs of both checkpoints",
    )


def _texts(left: Checkpoint, right: Checkpoint) -> None:
    """What both write to the same prompt with the same seed."""
    with st.form("texts", border=False):
        prompt = st.text_input("Prompt", "Once upon a time", key="sample_prompt")
        columns = st.columns(3)
        with columns[0]:
            seed = st.number_input("Seed", 0, 2**31 - 1, 0, key="sample_seed")
        with columns[1]:
            temperature = st.number_input("Temperature", 0.0, 2.0, 0.0, 0.1, key="sample_temperature")
        with columns[2]:
            tokens = st.number_input("Tokens at most", 1, 512, SAMPLE_TOKENS, key="sample_tokens")
        asked = st.form_submit_button("Write", icon=":material/edit:")
    if not asked:
        return
    for name, row, column in zip("AB", (left, right), st.columns(2), strict=True):
        with column:
            st.markdown(f"**{name}**")
            try:
                pieces = client().sample(
                    row.ref, prompt, max_new_tokens=int(tokens), temperature=float(temperature), seed=int(seed)
                )
                st.text("".join(itertools.chain([prompt], pieces)))
            except ClientError as error:
                show_error(error)
