"""Verbs that hand out text: init, schema, learn; and the interactive menu."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from retain.values.faults import mismatch
from ui import guides
from ui.client import BadInput, Violation
from ui.commands.output import JsonFlag, console, emit, say
from ui.questions import questions
from ui.render.quiz import quiz_lines, take_quiz
from ui.spec import templates


def init(
    template: Annotated[
        str, typer.Argument(metavar="[TEMPLATE]", help="Name of a template; --list shows them.")
    ] = "three-stage",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of standard output.")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the templates.")] = False,
    json: JsonFlag = False,
) -> None:
    """Write a commented spec to begin with."""
    if show_list:
        entries = templates.templates()
        if json:
            emit([{"name": entry.name, "title": entry.title} for entry in entries])
            return
        for entry in entries:
            console().print(f"{entry.name:14} {entry.title}", highlight=False, soft_wrap=True)
        return
    entry = templates.template(template)
    if output is not None:
        try:
            with output.open("x", encoding="utf-8") as stream:
                stream.write(entry.text)
        except OSError as error:
            raise BadInput(
                [Violation(field="--output", description=f"{output} cannot be made: {error.strerror}")]
            ) from error
        say(f"written: {output}; `retain validate {output}` checks it")
    if json:
        emit({"template": entry.name, "path": str(output) if output else None, "yaml": entry.text})
    elif output is None:
        typer.echo(entry.text, nl=False)


def schema(json: JsonFlag = False) -> None:
    """JSON schema of the spec, for editors."""
    from ui.client.schema import spec_schema

    if json:
        emit(spec_schema())
        return
    import json as encoder

    typer.echo(encoder.dumps(spec_schema(), indent=2))


def learn(
    topic: Annotated[
        str | None, typer.Argument(metavar="[TOPIC]", help="Name of a guide or decision; without it they are listed.")
    ] = None,
    quiz: Annotated[
        bool, typer.Option("--quiz", help="Three questions about it; where nobody can answer they are printed.")
    ] = False,
    answers: Annotated[bool, typer.Option("--answers", help="With --quiz: print them with the answers.")] = False,
    json: JsonFlag = False,
) -> None:
    """Read the guides: why three stages, hands on mid-training, forgetting; and why Retain is as it is."""
    if (quiz or answers) and (topic is None or not quiz):
        expected = "a topic, as in `retain learn pipeline --quiz --answers`"
        raise BadInput([Violation(field="--quiz", description=mismatch("no topic" if quiz else "--answers", expected))])
    if topic is None:
        entries = [*guides.guides(), *guides.decisions()]
        if json:
            emit([{"name": entry.name, "title": entry.title} for entry in entries])
            return
        for entry in entries:
            console().print(f"{entry.name:14} {entry.title}", highlight=False, soft_wrap=True)
        return
    entry = guides.guide(topic)
    if quiz:
        _quiz(entry.name, answers=answers, json=json)
        return
    if json:
        emit({"name": entry.name, "title": entry.title, "markdown": entry.text})
        return
    from rich.markdown import Markdown

    console().print(Markdown(entry.text))
    if questions(entry.name):
        say(f"Three questions about it: `retain learn {topic} --quiz`")


def _quiz(topic: str, *, answers: bool, json: bool) -> None:
    """Asks where somebody can answer, else prints."""
    asked = questions(topic)
    if json:
        emit({"name": topic, "questions": asked})
    elif answers or not sys.stdin.isatty():
        typer.echo("\n".join(quiz_lines(asked, answers=answers)))
    else:
        from rich.prompt import Prompt

        take_quiz(asked, lambda text, letters: Prompt.ask(text, choices=letters), typer.echo)


def menu(json: JsonFlag = False) -> None:
    """Interactive menus: progress, a menu per stage with what is locked, the guides."""
    if json:
        raise BadInput(
            [Violation(field="--json", description="the menu is for people; `retain status --json` is for programs")]
        )
    from ui.client import connect
    from ui.menu import Menu

    with connect() as client:
        Menu(client, console()).main()


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    app.command(rich_help_panel="Specs")(init)
    app.command(rich_help_panel="Specs")(schema)
    app.command(rich_help_panel="Learn")(learn)
    app.command(rich_help_panel="Learn")(menu)
