"""The guides, the same that `retain learn` prints."""

import streamlit as st

from ui import library
from ui.progress import TITLES
from ui.stage_spec import LESSONS

GUIDES = {entry.title: entry for entry in library.guides()}

st.title("Learn")
for column, (kind, lesson) in zip(st.columns(len(LESSONS)), LESSONS.items(), strict=True):
    with column, st.container(border=True, height="stretch"):
        st.markdown(f"**{TITLES[kind]}**")
        st.caption(lesson)
title = st.segmented_control("Guide", list(GUIDES), default=next(iter(GUIDES)), key="guide", required=True)
with st.container(border=True):
    st.markdown(GUIDES[title].text.partition("\n")[2])
