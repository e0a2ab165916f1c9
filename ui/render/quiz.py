"""The questions behind a guide on a terminal: asked one by one, or printed with or without their answers."""

from collections.abc import Callable, Sequence

from ui.questions import Question


def quiz_lines(questions: Sequence[Question], *, answers: bool) -> list[str]:
    """Every question with its choices; with `answers` each choice says whether it is right, and why."""
    lines = []
    for number, question in enumerate(questions, 1):
        lines.append(f"{number}. {question.text}")
        for letter, choice in question.lettered().items():
            lines.append(f"   {letter}) {choice.text}")
            if answers:
                lines.append(f"      {'right' if choice.right else 'wrong'}: {choice.why}")
        lines.append("")
    return lines


def take_quiz(
    questions: Sequence[Question], ask: Callable[[str, list[str]], str], tell: Callable[[str], object]
) -> int:
    """Asks each question (`ask` returns one of the letters that it is given) and tells at once whether the answer is
    right, and why; returns how many were."""
    count = 0
    for question in questions:
        choices = question.lettered()
        tell("\n".join([question.text, *(f"  {letter}) {choice.text}" for letter, choice in choices.items())]))
        chosen = choices[ask("Your answer", list(choices))]
        count += chosen.right
        tell(f"{'Right' if chosen.right else 'No'}. {chosen.why}")
        if not chosen.right:
            tell(f"Right is: {question.answer.text} {question.answer.why}")
        tell("")
    tell(f"{count} of {len(questions)} right.")
    return count
