"""The guides, the same that `retain learn` prints."""

import streamlit as st

from ui import guides
from ui.render.progress_table import TITLES
from ui.spec.single_stage import LESSONS

INDEX, *RECORDS = guides.decisions()
GUIDES = {entry.title: entry for entry in [*guides.guides(), INDEX]}

st.title("Learn")
for column, (kind, lesson) in zip(st.columns(len(LESSONS)), LESSONS.items(), strict=True):
    with column, st.container(border=True, height="stretch"):
        st.markdown(f"**{TITLES[kind]}**")
        st.caption(lesson)
title = st.segmented_control("Guide", list(GUIDES), default=next(iter(GUIDES)), key="guide", required=True)
text = GUIDES[title]
if text == INDEX:
    st.caption("What somebody who knows PyTorch and gRPC, but not Retain, would question first.")
    records = {entry.title: entry for entry in RECORDS}
    text = records[st.selectbox("Decision", list(records), key="decision")]
with st.container(border=True):
    st.markdown(text.text.partition("\n")[2])
