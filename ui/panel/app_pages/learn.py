"""The guides, the same that `retain learn` prints."""

import streamlit as st

from ui import library
from ui.stage_spec import LESSONS

GUIDES = {entry.title: entry for entry in library.guides()}

st.title("Learn")
with st.container(horizontal=True):
    for kind, lesson in LESSONS.items():
        with st.container(border=True, width=340):
            st.markdown(
                f"**{ {'PRETRAIN': 'Pre-training', 'MIDTRAIN': 'Mid-training', 'FINETUNE': 'Fine-tuning'}[kind] }**"
            )
            st.caption(lesson)
title = st.segmented_control("Guide", list(GUIDES), default=next(iter(GUIDES)), key="guide", required=True)
with st.container(border=True):
    st.markdown(GUIDES[title].text.partition("\n")[2])
