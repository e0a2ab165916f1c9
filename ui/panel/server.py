"""The panel as a web application: Streamlit's own, behind a guard that every request passes (`ui.panel.guard`)."""

import os
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from ui.panel.guard import Guard, hosts_of, speaks_tls
from ui.panel.session import cookie
from ui.panel.session.provider import PanelClient, cookie_secret, install

install(PanelClient.from_env(os.environ))
cookies = cookie.Cookies(cookie_secret(os.environ))
cookie.install(cookies)
guard = Middleware(Guard, hosts=hosts_of(os.environ), secure=speaks_tls(os.environ))
remember = Middleware(cookie.Remember, cookies=cookies)
app = st.App(str(Path(__file__).parent / "app.py"), middleware=[guard, remember])
