"""Two checkpoints side by side: a text to be continued by both, or a conversation with both, the answers as they come;
and what became of general text."""

from collections.abc import Iterator

import streamlit as st

from ui.client import ClientError
from ui.client.views import Checkpoint, SampledPiece
from ui.panel import side_by_side
from ui.panel.conversation import KEPT, SIDES, Answer, Exchange, turns
from ui.panel.session import kept
from ui.panel.shared import as_text, chosen_project, client, errors_shown, may_act, nothing_yet, show_error

NEW_TOKENS, LISTED = 64, 200
CHAT, COMPLETE = "Chat", "Complete"
Pair = tuple[Checkpoint, Checkpoint]


def _use(prompt: str) -> None:
    st.session_state["try_prompt"], st.session_state["try_mode"] = prompt, COMPLETE


def _general(checkpoint: Checkpoint) -> None:
    """Beginnings of the general text of the run that a checkpoint is of."""
    try:
        run = client(project).get_run(checkpoint.run_id)
        found = client(project).preview_data(run.own_spec, stage=0, role="general", documents=3)
        st.session_state["try_general"] = side_by_side.beginnings(found)
    except ClientError as error:
        st.session_state["try_failure"] = error


def _talk(pair: Pair, how: str) -> list[Exchange]:
    """What this person said so far with this pair, in whatever session; the oldest conversation goes when there are
    many."""
    talks: dict[tuple[str, str, str], list[Exchange]] | None = kept.mine("try_it")
    if talks is None:
        talks = st.session_state.setdefault("try_talks", {})
    talk = talks.setdefault((how, pair[0].id, pair[1].id), [])
    for oldest in list(talks)[:-KEPT]:
        talks.pop(oldest, None)
    return talk


def _pieces(checkpoint: Checkpoint, prompt: str, before: list[tuple[str, str]]) -> Iterator[SampledPiece]:
    return client(project).sample_pieces(
        checkpoint.ref,
        prompt,
        max_new_tokens=int(st.session_state["try_tokens"]),
        temperature=float(st.session_state["try_temperature"]),
        seed=int(st.session_state["try_seed"]),
        chat=how == CHAT,
        turns=before,
    )


def _asked(asked: Exchange, pair: Pair, before: list[Exchange]) -> None:
    """Both answers, each piece by piece, kept as they grow: whoever stops them, or asks on, keeps what had come."""
    for side, column in enumerate(st.columns(2)):
        answer = asked.answers[side]
        with column:
            place = st.empty()
            try:
                for piece in _pieces(pair[side], asked.prompt, turns(before, side)):
                    answer.take(piece)
                    place.markdown(f"**{SIDES[side]}:** {side_by_side.shown(answer.text)}")
            except ClientError as error:
                answer.fault = error
            answer.is_whole = answer.fault is None
            with place.container():
                _answer(side, answer)


def _answer(side: int, answer: Answer) -> None:
    if answer.text or answer.is_whole:
        st.markdown(f"**{SIDES[side]}:** {side_by_side.shown(answer.text)}")
    else:
        st.markdown(f"**{SIDES[side]}:**")
    if answer.fault is not None:
        show_error(answer.fault)
    if answer.remedy:
        st.caption(answer.remedy)
    if told := answer.told:
        st.caption(told)


def _show(one: Exchange) -> None:
    _question(one.prompt)
    for side, column in enumerate(st.columns(2)):
        with column:
            _answer(side, one.answers[side])


def _question(prompt: str) -> None:
    if how == CHAT:
        st.chat_message("user", avatar=":material/person:").markdown(side_by_side.shown(prompt))
    else:
        st.caption(as_text(f"Continued: {prompt[:200]}"))


def _models() -> Pair:
    """The two that are asked. The address names them: another page leads here with `a` and `b`."""
    by_id = {one.id: one for one in usable}
    for name in ("a", "b"):
        asked = st.query_params.get(name, "")
        if asked and asked not in by_id:
            with errors_shown():
                found = client().checkpoint(asked)
                by_id[found.id] = found
                st.query_params[name] = found.id
    columns, first = st.columns(2), side_by_side.first_pair(usable)
    chosen = []
    for name, column, default in zip(("a", "b"), columns, first, strict=True):
        known = st.query_params.get(name, default.id)
        key = f"try_{name}"
        if st.session_state.get(key) not in by_id:
            st.session_state[key] = known
        one = column.selectbox(f"Model {name.upper()}", list(by_id), key=key)
        st.query_params[name] = one
        chosen.append(by_id[one])
    return chosen[0], chosen[1]


def _settings() -> None:
    one, two, three = st.columns(3)
    one.number_input("New tokens, at most", 1, 1024, NEW_TOKENS, key="try_tokens")
    two.number_input("Temperature", 0.0, 2.0, 0.0, step=0.1, key="try_temperature", help="0: the likeliest each time.")
    three.number_input("Seed", 0, 2**31, 0, key="try_seed")


def _completing(pair: Pair) -> str:
    """The text to be continued, once it is asked for; else empty."""
    st.text_area(
        "Prompt", key="try_prompt", height=110, placeholder="The beginning of a text; both models continue it."
    )
    with st.container(horizontal=True):
        asked = st.button("Ask both", icon=":material/forum:", type="primary", key="try_ask")
        if pair[1].run_id:
            st.button(
                "What did it forget?",
                icon=":material/history:",
                key="try_forgot",
                on_click=_general,
                args=(pair[1],),
                help="Beginnings of the general text of model B's run, to be continued by both.",
            )
    if "try_failure" in st.session_state:
        show_error(st.session_state.pop("try_failure"))
    for number, beginning in enumerate(st.session_state.get("try_general", ())):
        st.button(as_text(beginning), key=f"try_general:{number}", type="tertiary", on_click=_use, args=(beginning,))
    prompt = str(st.session_state["try_prompt"])
    if asked and not prompt.strip():
        st.warning("There is no prompt yet.")
    return prompt if asked and prompt.strip() else ""


def _chatting(talk: list[Exchange]) -> str:
    """The next turn, once it is sent, or the last one again in other words; else empty. An edited turn takes its
    exchange back."""
    sent = st.chat_input("Your turn, to both models", key="try_turn")
    if not talk:
        st.caption("Each model's own chat template puts the turns together. A model without one is asked by Complete.")
        return str(sent or "")
    with st.container(horizontal=True):
        with st.popover("Edit the last turn", icon=":material/edit:"), st.form("try_edit", border=False):
            again = st.text_area("The last turn", talk[-1].prompt, key=f"try_edited:{len(talk)}")
            if st.form_submit_button("Ask both again") and again.strip():
                talk.pop()
                return again
        st.button("Clear", icon=":material/delete_sweep:", key="try_clear", on_click=talk.clear)
    return str(sent or "")


st.title("Try it")
project = chosen_project("Project", "try_project")
with errors_shown():
    usable = side_by_side.usable(client().checkpoints(project=project, limit=LISTED))
if not may_act():
    st.info("To ask a model takes the role operator. Whoever runs the installation gives it.", icon=":material/lock:")
elif not usable:
    nothing_yet("No checkpoint yet. A run makes some; `retain import DIR` brings a model of elsewhere.")
else:
    pair = _models()
    if "try_mode" not in st.session_state:
        st.session_state["try_mode"] = CHAT if st.query_params.get("how") == CHAT else COMPLETE
    how = str(st.segmented_control("How", [COMPLETE, CHAT], key="try_mode", required=True))
    st.query_params["how"] = how
    _settings()
    talk = _talk(pair, how)
    if how == COMPLETE:
        asked = _completing(pair)
        if asked:
            talk.clear()
    else:
        history = st.container()
        asked = _chatting(talk)
    with st.container() if how == COMPLETE else history:
        for one in talk:
            _show(one)
        if asked:
            before = list(talk)
            talk.append(Exchange(prompt=asked))
            _question(asked)
            stop = st.empty()
            stop.button("Stop", icon=":material/stop_circle:", key=f"try_stop:{len(talk)}")  # any press ends this run
            _asked(talk[-1], pair, before)
            stop.empty()
            if how == CHAT:
                st.rerun()  # draws what belongs under a conversation that has grown
