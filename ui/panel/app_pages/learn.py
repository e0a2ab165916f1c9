"""The guides, the same that `retain learn` prints, with pieces to try and questions at the end."""

import streamlit as st

from ui import guides
from ui.panel.learn.pieces import pieces_of
from ui.panel.learn.quiz import quiz
from ui.render.progress_table import TITLES
from ui.spec.single_stage import LESSONS

INDEX, *RECORDS = guides.decisions()
OVERVIEW = "pipeline"  # the guide that the three stages stand over
GUIDES = {entry.title: entry for entry in [*guides.guides(), INDEX]}

st.title("Learn")
title = st.selectbox("Guide", list(GUIDES), key="guide")
text = GUIDES[title]
if text.name == OVERVIEW:
    for column, (kind, lesson) in zip(st.columns(len(LESSONS)), LESSONS.items(), strict=True):
        with column, st.container(border=True, height="stretch"):
            st.markdown(f"**{TITLES[kind]}**")
            st.caption(lesson)
if text == INDEX:
    st.caption("What somebody who knows PyTorch and gRPC, but not Retain, would question first.")
    records = {entry.title: entry for entry in RECORDS}
    text = records[st.selectbox("Decision", list(records), key="decision")]
with st.container(border=True):
    st.markdown(text.text.partition("\n")[2])
pieces_of(text.name)
quiz(text.name)
