"""`retain eval CHECKPOINT --data FILE --on-server`: the file goes to the server, which measures it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from retain.values.faults import mismatch
from ui.client import connect
from ui.client.errors import BadInput, Violation
from ui.client.views import FileEvaluation, FileResult
from ui.commands.output import console, emit, plain, say


def evaluate_on_server(
    checkpoint: str, files: list[str], *, context: int, documents: int, refused: dict[str, bool], json: bool
) -> None:
    """Raises BadInput for the options of a measurement on this machine (`refused`: which were given), for a file that
    is not there, and for a model that is a folder of this machine."""
    from ui.local.evaluate import wait_for
    from ui.local.transfer import upload
    from ui.render.file_result import facts_line, file_results

    _check(checkpoint, files, refused)
    found: list[tuple[str, FileResult]] = []
    with connect() as client:
        row = client.checkpoint(checkpoint)
        for name in files:
            uri = upload(client, Path(name), say=say)
            asked = client.evaluate_file(row.ref, uri, context=context, documents=documents)
            with _progress(Path(name).name) as progress:
                found.append((name, wait_for(asked, progress)))
    if json:
        emit({"checkpoint": row.id, "sets": [{"name": Path(name).stem, **plain(one)} for name, one in found]})
        return
    table = Table(box=None, pad_edge=False)
    rows = file_results(found)
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "file" else "right")
    for line in rows:
        table.add_row(*line.values())
    console().print(table)
    for name, one in found:
        say(f"{name}: {facts_line(one)}")


def _check(checkpoint: str, files: list[str], refused: dict[str, bool]) -> None:
    faults = [
        Violation(field=name, description=mismatch("it with --on-server", "--context, --limit, --json"))
        for name, given in refused.items()
        if given
    ]
    if Path(checkpoint).is_dir():
        expected = "a checkpoint of the server (retain import brings a folder there)"
        faults.append(Violation(field="MODEL", description=mismatch(f"the folder {checkpoint}", expected)))
    for name in files:
        if not Path(name).is_file():
            faults.append(Violation(field="--data", description=mismatch(repr(name), "a file of this machine")))
    if faults:
        raise BadInput(faults)


@contextmanager
def _progress(name: str) -> Iterator[Any]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import Progress

    from ui.render.file_result import progress_line

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)

        def show(now: FileEvaluation) -> None:
            bar.update(
                task, total=now.tokens or None, completed=now.tokens_done, description=f"{name} {progress_line(now)}"
            )

        yield show
