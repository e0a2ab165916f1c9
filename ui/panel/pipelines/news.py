"""What the page of all pipelines shows at one time, and how it is asked for."""

from dataclasses import dataclass

import streamlit as st

from ui.client import ClientError
from ui.client.pages import Page
from ui.client.views import Run
from ui.panel.shared import House, client, house

PAGE_ROWS = 50
NEWS = "pipelines_news"  # of the session


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which runs are listed: of a project, in some states, with some words; `token`: from where in the list on."""

    project: str
    states: tuple[str, ...]
    words: str
    token: str


@dataclass(frozen=True, kw_only=True)
class News:
    """The answers, or what kept the panel from them."""

    asked: Question
    house: House | ClientError
    page: Page[Run] | ClientError


def read(question: Question) -> News:
    """Asks the server. The same object as before where it says the same."""
    known: News | None = st.session_state.get(NEWS)
    found = News(asked=question, house=_house(question.project), page=_page(question))
    if known is not None and known == found:
        return known
    st.session_state[NEWS] = found
    return found


def held(question: Question) -> News:
    """What was read last for this question; else it is asked."""
    known: News | None = st.session_state.get(NEWS)
    return known if known is not None and known.asked == question else read(question)


def _house(project: str) -> House | ClientError:
    try:
        return house(project)
    except ClientError as error:
        return error


def _page(asked: Question) -> Page[Run] | ClientError:
    try:
        return client().runs_page(
            states=asked.states, project=asked.project, words=asked.words, size=PAGE_ROWS, token=asked.token
        )
    except ClientError as error:
        return error
