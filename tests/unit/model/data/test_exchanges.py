"""Exchanges: every answer is right, and what is held out is held out in every wording."""

import re
from functools import cache

import pytest

from model.data.prepare import prepare
from model.data.prepared import open_prepared
from model.data.sources import open_source
from model.data.split import REPORT, TRAIN, split_of
from model.data.unseen import Question, unseen_questions
from model.document import Document
from model.errors import BadSource
from tests.unit.model.data_helpers import byte_tokenizer

DOCUMENTS = 3000
# Looked up, not taken from the generator.
SIGNS = {"gold": "Au", "iron": "Fe", "sodium": "Na", "copper": "Cu", "helium": "He", "chlorine": "Cl", "carbon": "C"}


@cache
def exchanges(domain: str, documents: int = 400) -> list[tuple[str, str, Document]]:
    found = []
    for document in open_source("sample://exchanges", options={"domain": domain, "documents": documents}):
        asked, answered = document.messages
        assert (asked["role"], answered["role"]) == ("user", "assistant")
        found.append((asked["content"], answered["content"], document))
    return found


def words(question: str) -> frozenset[str]:
    """What is asked for: every word of the question but those of its form, whatever their order."""
    return frozenset(re.findall(r"\w+", question.lower())) - {"what", "is", "add", "and", "how", "does", "do", "the"}


def test_functions_do_what_the_question_says():
    done = {
        r"adds (\w+) and (\w+)": lambda f: f(2, 3) == 5,
        r"compares (\w+) with (\w+)": lambda f: f(2, 2) is True and f(2, 3) is False,
        r"looks for (\w+) in (\w+)": lambda f: f("b", "abc") is True and f("x", "abc") is False,
        r"calls (\w+) with (\w+)": lambda f: f(len, "abc") == 3,
        r"returns item (\w+) of (\w+)": lambda f: f(1, "abc") == "b",
    }
    met = set()
    for question, answer, _ in exchanges("code"):
        name = re.search(r"(?:function|Define) (\w+)(?:$| that|:)", question)[1]
        space = {}
        exec(answer, space)
        function = space[name]
        form, found = next((form, found) for form in done if (found := re.search(form, question)))
        assert function.__code__.co_varnames == found.groups()
        assert done[form](function), (question, answer)
        met.add(form)
    assert met == set(done)


def test_sums_are_right_and_carry_nothing():
    for question, answer, _ in exchanges("math"):
        a, b = map(int, re.findall(r"\d+", question))
        assert answer == f"{a} + {b} = {a + b}"
        assert 10 <= a <= 99
        assert 10 <= b <= 99
        assert a % 10 + b % 10 < 10


def test_facts_are_those_of_the_world():
    met = set()
    for question, answer, _ in exchanges("science"):
        for name in re.findall(r"the sign for (\w+)", question):
            if name in SIGNS:
                assert f"he sign for {name} is {SIGNS[name]}" in answer
                met.add(name)
    assert met == set(SIGNS)


@pytest.mark.parametrize("domain", ["code", "math", "science"])
def test_a_question_has_one_answer_and_one_side(domain):
    """However it is worded and in whichever order: the two names, numbers or facts are trained on or held out."""
    answers, sides = {}, {}
    for question, answer, document in exchanges(domain, DOCUMENTS):
        assert answers.setdefault(question, answer) == answer
        sides.setdefault(document.group, set()).add(words(question) if domain != "code" else document.group)
        assert document.group is not None
    if domain != "code":  # there the function's name is free, so that many questions share a group
        assert all(len(asked) == 1 for asked in sides.values())
    parts = {(document.group, split_of(document) == TRAIN) for _, _, document in exchanges(domain, DOCUMENTS)}
    held, trained = ({group for group, trains in parts if trains is side} for side in (False, True))
    assert held
    assert held.isdisjoint(trained)


@pytest.mark.parametrize("domain", ["code", "math", "science"])
def test_unseen_questions_never_occur_in_what_is_trained_on(domain, tmp_path):
    """Looked for in the very tokens that a run trains on."""
    source = open_source(f"sample://exchanges?domain={domain}&documents={DOCUMENTS}")
    tokenizer = byte_tokenizer()
    train, _, _ = open_prepared(prepare(source, tokenizer, tmp_path, context=256, overlap=False))
    trained = "\n".join(tokenizer.decode(train.document(number).tolist()) for number in range(len(train)))
    asked = unseen_questions(source, limit=24)
    assert len(asked) == 24
    assert len({question.prompt for question in asked}) == 24
    assert not [question.prompt for question in asked if question.prompt in trained]
    seen = next(q for q, _, document in exchanges(domain, DOCUMENTS) if split_of(document) == TRAIN)
    assert seen in trained, "the search finds what is there"


def test_an_unknown_domain_is_refused():
    with pytest.raises(BadSource, match=r"poetry.*code, math, science"):
        open_source("sample://exchanges?domain=poetry")


class Chats:
    """A source of the given conversations."""

    kind, uri = "chat", "chats"

    def __init__(self, *chats: list[str]) -> None:
        self.chats = chats

    def __iter__(self):
        for number, turns in enumerate(self.chats):
            roles = ("user", "assistant") * len(turns)
            messages = tuple({"role": role, "content": text} for role, text in zip(roles, turns, strict=False))
            yield Document(messages=messages, origin=str(number))


def sides(count: int = 200) -> dict[str, list[list[str]]]:
    """Exchanges by the part that their content puts them into."""
    found = {}
    for number in range(count):
        chat = [f"Question {number}?", f"Answer {number}."]
        (document,) = Chats(chat)
        found.setdefault(split_of(document), []).append(chat)
    return found


def test_a_question_that_begins_a_longer_training_conversation_is_known():
    chats = sides()
    known, other = chats[REPORT][:2]
    longer = next(
        talk
        for n in range(100)
        if split_of(next(iter(Chats(talk := [f"{known[0]} \r\n", "Something else.", f"And {n}?", "No."])))) == TRAIN
    )
    found = unseen_questions(Chats(known, other, longer, *chats[TRAIN]), limit=10)
    assert found == [Question(prompt=other[0], expected=other[1])]


def test_only_conversations_of_one_question_are_asked():
    chats = sides()
    three = next(
        talk for n in range(400) if split_of(next(iter(Chats(talk := [f"Hi {n}", "Hello", "And?", "Well."])))) == REPORT
    )
    with pytest.raises(BadSource, match="no question that is held out"):
        unseen_questions(Chats(three, *chats[TRAIN]), limit=5)
    with pytest.raises(BadSource, match="text"):
        unseen_questions(open_source("sample://math?documents=10"), limit=5)


def test_the_order_does_not_depend_on_the_sources():
    chats = sides(600)
    assert len(chats[REPORT]) >= 5
    one = unseen_questions(Chats(*chats[REPORT], *chats[TRAIN]), limit=3)
    other = unseen_questions(Chats(*chats[TRAIN], *reversed(chats[REPORT])), limit=3)
    assert one == other
    assert len(one) == 3
