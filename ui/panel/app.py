"""Entry of the panel: its pages and what they share."""

from pathlib import Path

import streamlit as st

from ui.panel.session.login import PAGE, require_login

# A file of our own: Streamlit takes the picture of an icon's name from a server outside.
st.set_page_config(page_title="Retain", page_icon=str(Path(__file__).parent / "icon.svg"), layout="wide")

# Streamlit writes the chosen one of a few in the primary colour, which is too dark for letters on the dark theme: it is
# also the ground of white ones.
CHOSEN = '[data-testid="stButtonGroup"] button[data-selected="true"] p { color: light-dark(#1f5fd0, #a8c7fa); }'
# A table or code that is wider than a telephone breaks its words there, and the page stays where it is: what moves
# sideways by itself is out of a keyboard's reach.
TABLES = """@media (max-width: 640px) {
  [data-testid="stMarkdownContainer"] table { font-size: 0.8rem; }
  [data-testid="stMarkdownContainer"] :is(th, td) { padding: 0.2rem 0.3rem; overflow-wrap: anywhere; hyphens: auto; }
  [data-testid="stMain"] :is(pre, pre *) { white-space: pre-wrap !important; }
  [data-testid="stMain"] code { overflow-wrap: anywhere; }
}"""
GROUPS = '@media (max-width: 640px) { [data-testid="stButtonGroup"] div { flex-wrap: wrap; row-gap: 0.25rem; } }'
# Several of Streamlit's colours in code are too pale to read on the light theme.
CODE = "\n".join(
    f'[data-testid="stMain"] .token:is({kinds}) {{ color: light-dark({light}, {dark}) !important; }}'
    for kinds, light, dark in (
        (".atrule, .decorator, .operator, .entity", "#a84300", "#ed6f13"),
        (".number, .regex", "#0f6f68", "#29b09d"),
        (".string, .char, .attr-value, .boolean, .constant, .symbol", "#0a6b2d", "#21c354"),
        (".keyword, .tag, .function, .class-name, .selector", "#1f5fd0", "#7ab0f5"),
        (".attr-name, .property, .variable", "#0b6380", "#4cc0e4"),
        (".comment, .prolog, .doctype, .cdata, .punctuation", "#596070", "#a3a8b8"),
        (".important, .deleted", "#b3261e", "#ff8a80"),
    )
)
YAML = ".st-key-yaml textarea { font-family: monospace; font-size: 0.85rem; }"
st.html(f"<style>{CHOSEN} {TABLES} {GROUPS} {CODE} {YAML}</style>")

PAGES = [
    st.Page(
        "app_pages/pipelines.py",
        title="Pipelines",
        icon=":material/account_tree:",
        default=True,
        help="The progress of the three stages and every run. Open a run from here.",
    ),
    st.Page(
        "app_pages/new_run.py",
        title="New pipeline",
        icon=":material/add_circle:",
        help="A form beside its YAML, from a template; the server's plan or every fault at its field; start it.",
    ),
    st.Page(
        "app_pages/run.py",
        title="Run",
        icon=":material/monitoring:",
        help="One run live: both perplexities, forgetting, decisions; cancel, approve, retry.",
    ),
    st.Page(
        "app_pages/checkpoints.py",
        title="Checkpoints",
        icon=":material/inventory_2:",
        help="Checkpoints by stage and domain: figures, lineage, two side by side, files to take out.",
    ),
    st.Page(
        "app_pages/compare.py",
        title="Compare runs",
        icon=":material/compare_arrows:",
        help="Runs on one chart, the settings that differ, forgetting against gain.",
    ),
    st.Page(
        "app_pages/try_it.py",
        title="Try it",
        icon=":material/forum:",
        help="One prompt to two checkpoints side by side, and what became of general text.",
    ),
    st.Page(
        "app_pages/operations.py",
        title="Operations",
        icon=":material/dns:",
        help="Alerts, what answers, workers and the queue; for admins who did what.",
    ),
    st.Page(
        "app_pages/learn.py",
        title="Learn",
        icon=":material/school:",
        help="Why three stages, mid-training hands on, and what forgetting is.",
    ),
]

page = st.navigation(PAGES, position="top")
require_login()
st.session_state[PAGE] = f"app_pages/{page.url_path or 'pipelines'}.py"  # to come back to after another login
page.run()
