"""A file of one's own, measured by the server on a checkpoint: sent once, followed while it is measured, and beside the
checkpoint's other figures. The address names the file, so that a refresh and a second tab show the same."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from ui.client import ClientError
from ui.client.errors import Unreachable
from ui.client.views import Checkpoint, FileEvaluation, FileResult
from ui.local.transfer import upload
from ui.panel.refresh.parts import Part, begin_page, follow, show
from ui.panel.session.uploads import FILE_MEGABYTES, admit_this_session, let_go
from ui.panel.shared import as_text, client, my_projects, show_error
from ui.render import formatting
from ui.render.file_result import facts_line, perplexity_line, progress_line

TYPES = ["txt", "md", "jsonl", "ndjson", "json", "csv", "tsv", "parquet", "py", "gz", "zst"]
LOOK_S = 1.0  # at the most often
FILE, DOCUMENTS = "file", "documents"  # of the address
_FAULT, _SENT = "own_file_fault", "own_file_sent"  # of the session: what went wrong, and how many were sent
_STANDING = "own_file_standing"  # of the session: how far it was when last asked
NO_PATIENCE_S = 2.0  # whoever looks again and again need not wait for a server that is away


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """How far a measurement is; `now` None while the server does not answer. `is_over`: it ended, well or not."""

    now: FileEvaluation | None
    is_over: bool = False


def own_file(row: Checkpoint, figures: list[tuple[str, float | None]]) -> None:
    """A place to drop a file, and what was found; `figures` are the perplexities on the checkpoint's own sets."""
    with st.expander("Measure it on a file of your own", expanded=FILE in st.query_params):
        st.caption("A text file is one document; of jsonl, csv and parquet each row is one. The server keeps the file.")
        admit_this_session()
        with st.form("own_file", border=False):
            sent = st.file_uploader(
                "File", TYPES, key=f"own_file_sent_{st.session_state.get(_SENT, 0)}", max_upload_size=FILE_MEGABYTES
            )
            documents = st.number_input("Documents at most (0: all)", 0, 10**9, 0, key="own_file_documents")
            asked = st.form_submit_button("Measure", icon=":material/speed:")
        if asked:
            _send(row, sent, int(documents))
        uri = st.query_params.get(FILE, "")
        fault = _fault(row, uri)
        if fault is not None:
            show_error(fault)
        elif uri:
            _follow(row, uri, figures)


def _send(row: Checkpoint, sent: object, documents: int) -> None:
    st.session_state.pop(_FAULT, None)
    st.query_params.pop(FILE, None)
    if sent is None:
        st.warning("There is no file yet.", icon=":material/upload_file:")
        return
    name = Path(str(getattr(sent, "name", "file.txt"))).name
    try:
        with tempfile.TemporaryDirectory(prefix="retain-panel-") as folder, st.spinner("Sending the file ..."):
            path = Path(folder) / name
            path.write_bytes(sent.getvalue())  # type: ignore[attr-defined]
            st.query_params[FILE] = upload(client(_project(row)), path)
    except ClientError as error:
        st.session_state[_FAULT] = (row.id, "", error)
        return
    st.query_params[DOCUMENTS] = str(documents)
    let_go(sent.file_id)  # type: ignore[attr-defined]
    st.session_state[_SENT] = st.session_state.get(_SENT, 0) + 1
    st.rerun()  # the place for a file is empty again


def _follow(row: Checkpoint, uri: str, figures: list[tuple[str, float | None]]) -> None:
    found = _look(row, uri)
    if found is not None and found.result is not None:
        _result(found.result, figures)
        return
    fault = _fault(row, uri)
    if fault is not None:
        show_error(fault)
        return

    def newest() -> _Standing:
        now = _look(row, uri)
        standing = _Standing(now=now, is_over=_fault(row, uri) is not None or _is_done(now))
        st.session_state[_STANDING] = standing
        return standing

    st.session_state[_STANDING] = _Standing(now=found)
    part = Part(name="own_file", draw=_progress, drawn_from=lambda standing: standing.now)
    begin_page()
    show(part, lambda: st.session_state[_STANDING])
    follow((part,), newest, is_over=lambda standing: standing.is_over, least_s=LOOK_S)


def _is_done(now: FileEvaluation | None) -> bool:
    return now is not None and now.result is not None


def _progress(standing: _Standing) -> None:
    now = standing.now
    if now is None:
        st.warning("The evaluator does not answer; it is asked again.", icon=":material/cloud_off:")
        return
    st.progress(now.tokens_done / now.tokens if now.tokens else 0.0, text=as_text(progress_line(now)))
    st.caption("It goes on when this page is closed; the address of this page leads back to it.")


def _look(row: Checkpoint, uri: str) -> FileEvaluation | None:
    """How far it is now; None while the server does not answer. A fault is kept: the same question has the same."""
    said = st.query_params.get(DOCUMENTS, "")
    documents = int(said) if said.isdecimal() and len(said) < 10 else 0
    try:
        asked = client(_project(row)).evaluate_file(row.ref, uri, documents=documents, patience_s=NO_PATIENCE_S)
        return next(iter(asked), None)
    except Unreachable:
        return None
    except ClientError as error:
        st.session_state[_FAULT] = (row.id, uri, error)
        return None


def _fault(row: Checkpoint, uri: str) -> ClientError | None:
    """What kept this file from being sent (no URI) or measured."""
    of, file, error = st.session_state.get(_FAULT, ("", "", None))
    return error if (of, file) == (row.id, uri) else None


def _project(row: Checkpoint) -> str:
    """Whose file it is: the checkpoint's project, or one that it is shared with, where the person is in it."""
    try:
        mine = my_projects()
    except ClientError:
        return ""  # the server decides, and says what it misses
    return next((name for name in (row.project, *row.shared_with) if name in mine), "")


def _result(found: FileResult, figures: list[tuple[str, float | None]]) -> None:
    st.caption(as_text(f"{found.file_name}: {facts_line(found)}"))
    with st.container(horizontal=True):
        st.metric("Perplexity", formatting.ppl(found.perplexity))
        st.metric("Bits per byte", f"{found.bits_per_byte:.4f}")
        st.metric("Nats per token", f"{found.loss_nats:.4f}")
    rows = [{"Text": f"{found.file_name} (yours)", "Perplexity": perplexity_line(found)}]
    rows += [{"Text": name, "Perplexity": formatting.ppl(value)} for name, value in figures]
    st.dataframe(rows, hide_index=True, key="own_file_beside", alt="Perplexity on your file and on the sets of the run")
    if found.perplexity_low is None:
        st.caption("Under 50 documents, or parts of 2,048 tokens, there is no interval.")
