"""`retain sweep run|show`: a grid of settings and seeds as labelled runs, and the table that compares them."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from ui.client import connect
from ui.client.errors import EXIT_DONE, EXIT_FAILED, EXIT_SUSPENDED
from ui.commands.output import JsonFlag, console, emit, say
from ui.commands.runs import PriorityOption, ProjectOption, SetOption

if TYPE_CHECKING:
    from ui.sweep.carry_out import Submitter
    from ui.sweep.comparison import Comparison

sweep = typer.Typer(help="Sweeps: a grid of settings and seeds as runs, compared in one table.", no_args_is_help=True)

StageOption = Annotated[str, typer.Option("--stage", help="Compare the end of this stage; default: the last one.")]
RetentionOption = Annotated[
    str, typer.Option("--set", metavar="NAME", help="Forgetting of this retention set; default: the worst of all.")
]


@sweep.command("run")
def run(
    file: Annotated[
        str, typer.Argument(metavar="SWEEP", help="YAML file of the sweep (`retain learn pipeline`); `-`: stdin.")
    ],
    changes: SetOption = None,
    at_most: Annotated[
        int, typer.Option("--at-most", min=0, max=1000, help="Unfinished runs at a time; 0: as the file has it.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells and what they come to.")] = False,
    arms: Annotated[
        list[str] | None, typer.Option("--arm", metavar="NAME", help="Only this arm. May be repeated.")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Resume runs of the sweep that FAILED or were CANCELLED before.")
    ] = False,
    upload: Annotated[
        bool, typer.Option("--upload", help="Upload local data also to a server on this machine.")
    ] = False,
    project: ProjectOption = "",
    priority: PriorityOption = 0,
    json: JsonFlag = False,
) -> None:
    """Submit the runs of a sweep and wait for them. The same command again resumes it; Ctrl-C leaves its runs alone."""
    from ui.sweep.carry_out import Submitter
    from ui.sweep.comparison import compare
    from ui.sweep.file import load_sweep
    from ui.sweep.tables import cells_table, total_line

    asked = load_sweep(file, changes or []).of_arms(arms or [])
    at_most = at_most or asked.at_most
    with connect(project=project) as client:
        send = upload or not client.address.is_loopback
        submitter = Submitter(client=client, sweep=asked, send=send, priority=priority, say=say)
        plans = submitter.look(place=not dry_run)
        for warning in dict.fromkeys(warning for one in plans for warning in one.plan.warnings):
            say(f"warning: {warning}")
        if dry_run and json:
            cells = [{"settings": one.settings, "tokens": one.tokens, "seconds": one.seconds} for one in plans]
            emit({"sweep": asked.name, "seeds": asked.seeds, "at_most": at_most, "cells": cells})
            return
        if dry_run:
            console().print(cells_table(asked.name, plans, asked.seeds))
            console().print(total_line(plans, asked.seeds, at_most), soft_wrap=True, highlight=False)
            return
        states = _carried_out(submitter, at_most, retry=retry)
        _show(compare(client, asked.name, project=project), json)
    raise typer.Exit(_exit_code(states))


@sweep.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the sweep.")],
    stage: StageOption = "",
    retention_set: RetentionOption = "",
    project: ProjectOption = "",
    json: JsonFlag = False,
) -> None:
    """The table of a sweep: each cell's means over seeds, and what changes against the first cell."""
    from ui.sweep.comparison import compare

    with connect() as client:
        _show(compare(client, name, stage=stage, set_name=retention_set, project=project), json)


def _carried_out(submitter: "Submitter", at_most: int, *, retry: bool) -> Counter[str]:
    """How many runs ended in each state; every change is told on the way."""
    from ui.interrupt import insistent
    from ui.sweep.tables import settings_text

    states: dict[str, str] = {}
    try:
        with insistent():
            for planned, now in submitter.run_all(at_most=at_most, retry=retry):
                states[now.id] = str(now.state)
                what = f"{settings_text(planned.settings)}, seed {planned.seed}"
                say(f"{now.id} {now.state} ({what}) {now.status.message}".rstrip())
    except KeyboardInterrupt:
        left = sum(state in {"PENDING", "RUNNING"} for state in states.values())
        say(f"stopped submitting; {left} runs continue. The same command resumes the sweep")
        raise typer.Exit(EXIT_DONE) from None
    return Counter(states.values())


def _show(found: "Comparison", json: bool) -> None:
    from ui.sweep.tables import comparison_table

    emit(found) if json else console().print(comparison_table(found))


def _exit_code(states: Counter[str]) -> int:
    if states["FAILED"] or states["CANCELLED"]:
        return EXIT_FAILED
    return EXIT_SUSPENDED if states["SUSPENDED"] else EXIT_DONE


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    app.add_typer(sweep, name="sweep", rich_help_panel="Runs")
