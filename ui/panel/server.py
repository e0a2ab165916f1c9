"""The panel as a web application: Streamlit's own, behind a guard that every request passes (`ui.panel.guard`)."""

import os
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from ui.panel.guard import Guard, hosts_of

app = st.App(str(Path(__file__).parent / "app.py"), middleware=[Middleware(Guard, hosts=hosts_of(os.environ))])
