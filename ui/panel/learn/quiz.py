"""The three questions behind a guide: whoever chooses is told at once, and why."""

import streamlit as st

from ui.questions import Question, questions

_CHOSEN = "learn_chosen"  # by the key of a question: what was chosen; a page that is left forgets its widgets, not this


def quiz(guide: str) -> None:
    """Draws the questions of a guide, each with what was answered so far."""
    asked = questions(guide)
    if not asked:
        return
    with st.container(border=True):
        st.subheader("Three questions")
        right = [_asked(f"{guide.partition('/')[0]}:{number}", question) for number, question in enumerate(asked)]
        if all(one is not None for one in right):
            st.caption(f"{sum(map(bool, right))} of {len(asked)} right.")


def _asked(name: str, question: Question) -> bool | None:
    """Whether what was chosen is right; None where nothing is chosen yet."""
    kept: dict[str, str] = st.session_state.setdefault(_CHOSEN, {})
    key = f"learn_question:{name}"
    texts = {choice.text: choice for choice in question.choices}
    if key not in st.session_state and kept.get(name) in texts:
        st.session_state[key] = kept[name]
    said = st.radio(question.text, list(texts), index=None, key=key)
    if said is None:
        return None
    kept[name], chosen = said, texts[said]
    if chosen.right:
        st.success(f"Right. {chosen.why}", icon=":material/check_circle:")
    else:
        st.warning(f"No. {chosen.why}", icon=":material/cancel:")
    return chosen.right
