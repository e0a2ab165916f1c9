"""Two checkpoints side by side: one prompt to both, the answers as they come; and what general text became of them."""

from collections.abc import Iterator

import streamlit as st

from ui.client import ClientError
from ui.client.views import Checkpoint
from ui.panel import side_by_side
from ui.panel.shared import as_text, chosen_project, client, errors_shown, may_act, show_error

NEW_TOKENS = 64
TRIED = "tried"  # (what was asked, of whom, the answers): shown until the next question


def _use(prompt: str) -> None:
    st.session_state["try_prompt"] = prompt


def _general(checkpoint: Checkpoint) -> None:
    """Beginnings of the general text of the run that a checkpoint is of."""
    try:
        run = client(project).get_run(checkpoint.run_id)
        found = client(project).preview_data(run.own_spec, stage=0, role="general", documents=3)
        st.session_state["try_general"] = side_by_side.beginnings(found)
    except ClientError as error:
        st.session_state["try_failure"] = error


def _pieces(checkpoint: Checkpoint, prompt: str) -> Iterator[str]:
    return client(project).sample(
        checkpoint.ref,
        prompt,
        max_new_tokens=int(st.session_state["try_tokens"]),
        temperature=float(st.session_state["try_temperature"]),
        seed=int(st.session_state["try_seed"]),
        chat=st.session_state["try_mode"] == "Chat",
    )


def _ask(pair: tuple[Checkpoint, Checkpoint], prompt: str) -> None:
    """Both answers, each piece by piece; what had come stays when the rest fails."""
    answers: list[str] = []
    for column, checkpoint in zip(st.columns(2), pair, strict=True):
        with column:
            st.markdown(f"**{as_text(checkpoint.id)}**")
            place, text = st.empty(), ""
            try:
                for piece in _pieces(checkpoint, prompt):
                    text += piece
                    place.markdown(side_by_side.shown(text))
            except ClientError as error:
                show_error(error)
            answers.append(text)
    st.session_state[TRIED] = (prompt, tuple(one.id for one in pair), tuple(answers))


st.title("Try it")
project = chosen_project("Project", "try_project")
with errors_shown():
    usable = side_by_side.usable(client().checkpoints(project=project, limit=200))
if not may_act():
    st.info("To ask a model takes the role operator.", icon=":material/lock:")
elif not usable:
    st.caption("No checkpoint yet. A run makes some; `retain import` brings one.")
else:
    by_id = {one.id: one for one in usable}
    first, second = side_by_side.first_pair(usable)
    left, right = st.columns(2)
    chosen = (
        left.selectbox("First model", list(by_id), index=list(by_id).index(first.id), key="try_first"),
        right.selectbox("Second model", list(by_id), index=list(by_id).index(second.id), key="try_second"),
    )
    pair = (by_id[chosen[0]], by_id[chosen[1]])
    st.segmented_control("How", ["Complete", "Chat"], default="Complete", key="try_mode", required=True)
    st.text_area("Prompt", key="try_prompt", height=110)
    one, two, three = st.columns(3)
    one.number_input("New tokens, at most", 1, 1024, NEW_TOKENS, key="try_tokens")
    two.number_input("Temperature", 0.0, 2.0, 0.0, step=0.1, key="try_temperature", help="0: the likeliest each time.")
    three.number_input("Seed", 0, 2**31, 0, key="try_seed")
    with st.container(horizontal=True):
        asked = st.button("Ask both", icon=":material/forum:", type="primary", key="try_ask")
        if pair[1].run_id:
            st.button(
                "What did it forget?",
                icon=":material/history:",
                key="try_forgot",
                on_click=_general,
                args=(pair[1],),
                help="Beginnings of the general text of the second model's run, to be continued by both.",
            )
    if "try_failure" in st.session_state:
        show_error(st.session_state.pop("try_failure"))
    for number, beginning in enumerate(st.session_state.get("try_general", ())):
        st.button(beginning, key=f"try_general:{number}", type="tertiary", on_click=_use, args=(beginning,))
    prompt = st.session_state["try_prompt"]
    if asked and prompt.strip():
        _ask(pair, prompt)
    elif asked:
        st.warning("There is no prompt yet.")
    elif TRIED in st.session_state:
        before, names, answers = st.session_state[TRIED]
        st.caption(as_text(f"Asked: {before[:200]}"))
        for column, name, answer in zip(st.columns(2), names, answers, strict=True):
            column.markdown(f"**{as_text(name)}**")
            column.markdown(side_by_side.shown(answer))
