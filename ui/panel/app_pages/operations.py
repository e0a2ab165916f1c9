"""The installation: alerts, what answers, workers and queue; for admins also who did what."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from retain.values import ComponentStatus
from ui.client import ClientError
from ui.client.views import Run, System, moment
from ui.panel import operations
from ui.panel.grafana import grafana_links
from ui.panel.refresh.parts import Part, begin_page, follow, show
from ui.panel.session.login import ROLES, log_out_of_token
from ui.panel.shared import client, errors_shown, open_run, show_error
from ui.render import formatting
from ui.render.system_table import queue_line

LOOK_S = 5.0  # at the most often
NEWS = "operations_news"  # of the session
GOING = ("PENDING", "RUNNING", "SUSPENDED")
OUTCOMES = ("", "OK", "PERMISSION_DENIED", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "ABORTED")
PERIODS_S = {"Last hour": 3600, "Last day": 86400, "Last week": 604800, "All": 0}
MOST_EVENTS = 200


@dataclass(frozen=True, kw_only=True)
class News:
    """How the installation stands and the runs that go on, or what kept the panel from knowing."""

    told: System | None = None
    runs: tuple[Run, ...] = ()
    error: ClientError | None = None


def read() -> News:
    """Asks the server. The same object as before where it says the same."""
    try:
        found = News(told=client().system(), runs=tuple(client().list_runs(states=GOING)))
    except ClientError as error:
        found = News(error=error)
    known: News | None = st.session_state.get(NEWS)
    if known is None or shown(known) != shown(found):
        st.session_state[NEWS] = known = found
    return known


def shown(news: News) -> object:
    """What of the news is on the page."""
    return news.told, news.runs, news.error and news.error.message


def overview(news: News) -> None:
    """How it stands."""
    if news.error is not None:
        show_error(news.error)
    if news.told is None:
        return
    told = news.told
    down = [one for one in told.status.components if one.state != "UP"]
    st.caption(queue_line(told.status))
    with st.container(border=True):
        st.subheader("Alerts")
        rows = operations.alert_rows(told.alerts)
        if not rows:
            st.success("No run is over a threshold or waits for a person.", icon=":material/check_circle:")
        else:
            _alerts(rows)
    with st.container(border=True):
        st.subheader("Services")
        if down:
            names = ", ".join(one.name for one in down)
            st.error(f"{names} {'does' if len(down) == 1 else 'do'} not answer", icon=":material/cloud_off:")
        if told.status.components:
            _services(told.status.components)
        else:
            st.caption("The orchestrator answers. It has not looked at the others yet; that takes some seconds.")
    for title, table, empty in (
        ("Workers", operations.worker_rows(news.runs), "No worker is at work."),
        ("Queue", operations.queue_rows(news.runs), "No run waits for its turn."),
    ):
        with st.container(border=True):
            st.subheader(title)
            if table:
                st.dataframe(table, hide_index=True, key=title.lower(), alt=f"{title} of the installation")
            else:
                st.caption(empty)


def _services(components: Sequence[ComponentStatus]) -> None:
    st.dataframe(
        [
            {
                "Service": one.name.replace("_", " "),
                "Answers": "✓ yes" if one.state == "UP" else "✗ no",
                "Since": formatting.moment(moment(one.since_time_s)),
                "Reason": one.reason or "-",
            }
            for one in components
        ],
        hide_index=True,
        key="services",
        alt="What is around the orchestrator, and whether it answers",
    )


def _alerts(rows: list[dict[str, object]]) -> None:
    event = st.dataframe(
        rows,
        hide_index=True,
        key="alerts",
        on_select="rerun",
        selection_mode="single-row",
        alt="What is over a threshold or waits for a person, the gravest first",
    )
    chosen = event.selection.rows
    if chosen and chosen[0] < len(rows):
        run_id = str(rows[chosen[0]]["Run"])
        if st.button(f"Open {run_id}", icon=":material/monitoring:", type="primary", key="open_alert"):
            open_run(run_id)
    else:
        st.caption("Select a row to open its run.")


def _audit() -> None:
    """Who did what, by the server's own filters."""
    with st.container(border=True):
        st.subheader("Who did what")
        first, second = st.columns(2)
        subject = first.text_input("Who", key="audit_subject", placeholder="everybody")
        resource = second.text_input("On what", key="audit_resource", placeholder="any run, checkpoint or token")
        third, fourth = st.columns(2)
        action = third.text_input("Call", key="audit_action", placeholder="CreatePipelineRun")
        outcome = fourth.selectbox("Outcome", OUTCOMES, key="audit_outcome", format_func=lambda name: name or "any")
        period = st.segmented_control("When", list(PERIODS_S), default="Last day", key="audit_period", required=True)
        since_s = time.time() - PERIODS_S[period] if PERIODS_S[period] else None
        with errors_shown():
            events = client().identity.audit(
                subject=subject.strip(),
                resource=resource.strip(),
                action=action.strip(),
                outcome=outcome,
                since_s=since_s,
                limit=MOST_EVENTS,
            )
        if events:
            st.dataframe(
                operations.audit_rows(events),
                hide_index=True,
                key="audit",
                column_config={"When": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss")},
                alt="Who did what, newest first",
            )
        else:
            st.caption("Nothing like that. A longer time, or fewer words above, may show more.")
        if len(events) == MOST_EVENTS:
            st.caption(f"The newest {MOST_EVENTS}; `retain audit` lists them all.")


st.title("Operations")
links = grafana_links(os.environ)
if links:
    with st.container(horizontal=True):
        for title, address in links:
            st.link_button(f"Grafana: {title}", address, icon=":material/open_in_new:")
read()
part = Part(name="overview", draw=overview, drawn_from=shown)
begin_page()
show(part, lambda: st.session_state[NEWS])
follow((part,), read, is_over=lambda news: False, least_s=LOOK_S)
if "admin" in (st.session_state.get(ROLES) or ()):
    _audit()
log_out_of_token()
