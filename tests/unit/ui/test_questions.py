"""Every guide has three questions, each with one right answer and a reason for every choice, of figures that it has."""

import re

import pytest

from ui import guides
from ui.questions import Question, questions
from ui.render.quiz import quiz_lines, take_quiz

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
NAMES = [entry.name for entry in guides.guides()] + ["decisions"]


def text_of(name: str) -> str:
    """What was read before one is asked."""
    found = guides.decisions() if name == "decisions" else [guides.guide(name)]
    return "\n".join(entry.text for entry in found)


def told(question: Question) -> list[str]:
    """All that a question says to be true: not the choices that are wrong, which may name any figure."""
    return [question.text, question.answer.text, *(choice.why for choice in question.choices)]


@pytest.mark.parametrize("name", NAMES)
def test_a_guide_has_three_questions_with_one_right_answer_and_reasons(name: str) -> None:
    asked = questions(name)
    assert len(asked) == 3
    for question in asked:
        assert question.text.endswith("?")
        assert [choice.right for choice in question.choices].count(True) == 1
        assert len({choice.text for choice in question.choices}) == len(question.choices) == 3
        assert all(len(choice.why) > 20 for choice in question.choices)
    assert len({question.choices.index(question.answer) for question in asked}) > 1, "the right one stands elsewhere"


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_a_question_stands_in_its_guide(name: str) -> None:
    known = set(NUMBER.findall(text_of(name)))
    lacking = {number for one in questions(name) for text in told(one) for number in NUMBER.findall(text)} - known
    assert lacking == set()


def test_there_are_none_without_a_guide() -> None:
    assert questions("nothing") == ()
    assert questions("decisions/0003") == questions("decisions")


def test_answers_are_printed_where_they_are_asked_for() -> None:
    asked = questions("forgetting")
    bare, full = quiz_lines(asked, answers=False), quiz_lines(asked, answers=True)
    assert bare[0] == "1. A score is exactly 10 %. What does Retain do?"
    assert not [line for line in bare if "right: " in line]
    assert [line.split(":")[0].strip() for line in full if line.startswith("      ")] == [
        "wrong", "wrong", "right", "right", "wrong", "wrong", "wrong", "right", "wrong",
    ]  # fmt: skip


def test_whoever_answers_is_told_at_once() -> None:
    said: list[str] = []
    answers = iter("cab")
    assert take_quiz(questions("forgetting"), lambda text, letters: next(answers), said.append) == 3
    assert [line.split(".")[0] for line in said if line.startswith(("Right.", "No."))] == ["Right"] * 3
    answers = iter("aaa")
    said.clear()
    assert take_quiz(questions("forgetting"), lambda text, letters: next(answers), said.append) == 1
    assert sum(line.startswith("Right is: ") for line in said) == 2
    assert said[-1] == "1 of 3 right."
