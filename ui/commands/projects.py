"""`retain projects list|show|create|update`, `retain share` and `retain unshare`: who shares an installation."""

import re
from typing import Annotated

import typer

from retain.values import Project, ProjectQuotas
from retain.values.faults import mismatch
from ui.client import BadInput, Violation, connect
from ui.commands.output import JsonFlag, console, emit, say

_PANEL = "Access"
_SIZE = re.compile(r"(?P<number>\d{1,15})(?P<unit>[kMGT]?B?)")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
NONE = "none"

projects = typer.Typer(help="Projects: list, show, create, change quotas.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="PROJECT", help="Its name.")]
RunsOption = Annotated[
    str, typer.Option("--runs", metavar="N", help="Runs that have not ended, at most so many; `none`: no limit.")
]
SlotsOption = Annotated[
    str, typer.Option("--slots", metavar="N", help="Worker slots at once, at most so many; `none`: no limit.")
]
BytesOption = Annotated[
    str, typer.Option("--bytes", metavar="SIZE", help="Bytes in the store, at most: 500G, 2T; `none`: no limit.")
]
WeightOption = Annotated[
    float | None, typer.Option("--weight", help="Its share of the slots against the weights of others; default: 1.")
]
CheckpointArgument = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="Its id, its s3:// URI, or 8 or more digits of its digest.")
]


@projects.command("list")
def list_projects(json: JsonFlag = False) -> None:
    """The projects that you may use, what they use, and their quotas."""
    from ui.render.projects import projects_table

    with connect() as client:
        found = client.projects.all()
    emit(found) if json else console().print(projects_table(found))


@projects.command("show")
def show(name: NameArgument, json: JsonFlag = False) -> None:
    """What a project uses of what it may use."""
    with connect() as client:
        _print(client.projects.get(name), json)


@projects.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="PROJECT", help="1 to 24 lower-case letters, digits, hyphens.")],
    runs: RunsOption = NONE,
    slots: SlotsOption = NONE,
    size: BytesOption = NONE,
    weight: WeightOption = None,
    json: JsonFlag = False,
) -> None:
    """Make a project (admins). `retain tokens create NAME --project PROJECT` lets somebody into it."""
    quotas = ProjectQuotas(runs=_count(runs, "--runs"), slots=_count(slots, "--slots"), bytes=_size(size))
    with connect() as client:
        _print(client.projects.create(name, quotas=quotas, weight=weight), json)


@projects.command("update")
def update(
    name: NameArgument,
    runs: RunsOption = "",
    slots: SlotsOption = "",
    size: BytesOption = "",
    weight: WeightOption = None,
    json: JsonFlag = False,
) -> None:
    """Change quotas or weight (admins). What is not named stays; runs that are at work continue."""
    with connect() as client:
        quotas = None
        if runs or slots or size:
            now = client.projects.get(name).quotas
            quotas = ProjectQuotas(
                runs=_count(runs, "--runs") if runs else now.runs,
                slots=_count(slots, "--slots") if slots else now.slots,
                bytes=_size(size) if size else now.bytes,
            )
        _print(client.projects.update(name, quotas=quotas, weight=weight), json)


def share(
    checkpoint: CheckpointArgument,
    project: Annotated[str, typer.Option("--with", metavar="PROJECT", help="With which project.")],
    json: JsonFlag = False,
) -> None:
    """Let another project look at a checkpoint, take it out and build on it."""
    with connect() as client:
        row = client.share_checkpoint(checkpoint, project)
    emit(row) if json else say(f"{row.id} is shared with {', '.join(row.shared_with)}")


def unshare(
    checkpoint: CheckpointArgument,
    project: Annotated[str, typer.Option("--with", metavar="PROJECT", help="With which project no longer.")],
    json: JsonFlag = False,
) -> None:
    """Take that back. Runs that already build on it continue."""
    with connect() as client:
        row = client.unshare_checkpoint(checkpoint, project)
    emit(row) if json else say(f"{row.id} is shared with {', '.join(row.shared_with) or 'nobody'}")


def _print(project: Project, json: bool) -> None:
    from ui.render.projects import projects_table

    emit(project) if json else console().print(projects_table([project]))


def _count(text: str, option: str) -> int | None:
    if text == NONE:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise BadInput([Violation(field=option, description=mismatch(repr(text[:100]), f"a number, or {NONE}"))])
    return int(text)


def _size(text: str) -> int | None:
    if text == NONE:
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        said = mismatch(repr(text[:100]), f"a size such as 500G or 2T, or {NONE}")
        raise BadInput([Violation(field="--bytes", description=said)])
    return int(found["number"]) * _UNITS[found["unit"].rstrip("B")]


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    app.add_typer(projects, name="projects", rich_help_panel=_PANEL)
    app.command(rich_help_panel=_PANEL)(share)
    app.command(rich_help_panel=_PANEL)(unshare)
