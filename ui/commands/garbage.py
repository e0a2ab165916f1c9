"""`retain gc`: what nothing in the store refers to any more, listed first and deleted with `--yes`."""

import re
from typing import Annotated

import typer

from retain.values.faults import mismatch
from ui.client import connect
from ui.client.errors import EXIT_BAD_INPUT
from ui.commands.output import JsonFlag, console, emit, plain, say
from ui.render import formatting

_AGE = re.compile(r"(?P<number>\d{1,9})(?P<unit>[smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def gc(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete it; without this it is only listed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list it (the default).")] = False,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Only what is older: 90m, 12h, 3d; default: a day.")
    ] = "",
    json: JsonFlag = False,
) -> None:
    """Evaluation sets, prepared data, uploads, and what killed attempts left, when nothing refers to them."""
    from ui.render.tables import garbage_table

    if yes and dry_run:
        say(f"--yes: {mismatch('--dry-run too', 'one of them')}")
        raise typer.Exit(EXIT_BAD_INPUT)
    with connect() as client:
        found = client.collect_garbage(dry_run=not yes, older_than_s=seconds_of(older_than, "--older-than"))
    if json:
        from ui.client.views import moment

        items = [plain(item) | {"update_time": moment(item.update_time_s)} for item in found.items]
        emit({**plain(found), "items": items})
        return
    if found.items:
        console().print(garbage_table(found))
    more = found.total_items - len(found.items)
    many = f"{found.total_items} item" + ("s" if found.total_items != 1 else "")
    size = formatting.file_size(found.bytes)
    unlisted = f" (the last {more} are not listed)" if more else ""
    say(f"{many}, {size}{unlisted}, {'deleted' if yes else 'not deleted'}")
    for note in found.notes:
        say(note)
    if found.items and not yes:
        say("retain gc --yes deletes what is listed, if nothing refers to it then")


def seconds_of(age: str, option: str) -> int:
    """`12h` as seconds; nothing is 0, the server's default. Exits with a word on what is expected of `option`."""
    if not age:
        return 0
    match = _AGE.fullmatch(age)
    if match is None or int(match["number"]) == 0:
        say(f"{option}: {mismatch(repr(age), 'a number above 0 and s, m, h or d, such as 12h')}")
        raise typer.Exit(EXIT_BAD_INPUT)
    return int(match["number"]) * _SECONDS[match["unit"]]


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command(rich_help_panel="Models")(gc)
