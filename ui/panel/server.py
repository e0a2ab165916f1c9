"""The panel as a web application: Streamlit's own, behind a guard that every request passes (`ui.panel.guard`)."""

import gc
import os
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

# What every page draws with is loaded before the first visitor, and frozen below.
import ui.panel.compare.charts
import ui.panel.pipelines.news
import ui.panel.run.pieces  # noqa: F401
from ui.panel.guard import Guard, hosts_of, speaks_tls
from ui.panel.session import cookie, uploads
from ui.panel.session.provider import PanelClient, cookie_secret, install

install(PanelClient.from_env(os.environ))
cookies = cookie.Cookies(cookie_secret(os.environ))
cookie.install(cookies)
guard = Middleware(Guard, hosts=hosts_of(os.environ), secure=speaks_tls(os.environ))
remember = Middleware(cookie.Remember, cookies=cookies)
taken = uploads.of_this_panel()
uploads.install(taken)
bounded = Middleware(uploads.Bounded, uploads=taken)
app = st.App(str(Path(__file__).parent / "app.py"), middleware=[guard, remember, bounded])

# What was loaded until here is never garbage: frozen, no collection goes through it again. A whole one took 0.1 s, and
# everybody waits for it.
gc.collect()
gc.freeze()
