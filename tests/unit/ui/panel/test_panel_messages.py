"""What the panel's server sends to a page that refreshes itself."""

import os
from typing import NoReturn

import pytest
from streamlit import config
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_cache import populate_hash_if_needed

from ui.panel.__main__ import main

LARGE = 1_000_000  # bytes: more than any chart or table of the panel


def cacheable() -> bool:
    """Whether the server would send a large message by its name alone the second time."""
    message = ForwardMsg()
    message.delta.new_element.markdown.body = "x" * LARGE
    populate_hash_if_needed(message)
    return message.metadata.cacheable


def test_no_message_is_sent_that_only_names_one_which_the_page_may_have_forgotten(monkeypatch) -> None:
    assert cacheable()  # as Streamlit is by itself
    commands: list[list[str]] = []

    def started(_: str, command: list[str]) -> NoReturn:
        commands.append(command)
        raise SystemExit

    monkeypatch.setattr(os, "execv", started)
    with pytest.raises(SystemExit):
        main()
    name = "global.minCachedMessageSize"
    said = dict(flag.removeprefix("--").split("=", 1) for flag in commands[0] if "=" in flag)[name]
    before = config.get_option(name)
    config.set_option(name, float(said))
    try:
        assert not cacheable()
    finally:
        config.set_option(name, before)
