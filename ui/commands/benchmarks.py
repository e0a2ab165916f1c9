"""`retain lm-eval`: lm-evaluation-harness on a checkpoint, kept with it."""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from retain.values.faults import mismatch
from ui.client import BadInput, Violation, connect
from ui.commands.output import JsonFlag, console, emit, say
from ui.extras import require


def lm_eval(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT", help="Its id, its s3:// URI, or 8 or more digits of its digest; or a local folder."
        ),
    ],
    tasks: Annotated[str, typer.Option("--tasks", metavar="NAME,NAME", help="Tasks of the harness.")] = "",
    include_path: Annotated[
        Path | None, typer.Option("--include-path", metavar="DIR", help="Folder with task files (YAML) of your own.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many documents.")] = None,
    shots: Annotated[int | None, typer.Option("--num-fewshot", min=0, help="Default: what the task says.")] = None,
    context: Annotated[int | None, typer.Option("--context", min=2, help="Tokens in a window.")] = None,
    device: Annotated[str, typer.Option("--device")] = "cpu",
    chat: Annotated[bool, typer.Option("--apply-chat-template", help="Ask in the model's chat template.")] = False,
    online: Annotated[bool, typer.Option("--online", help="Let the harness fetch the data of its tasks.")] = False,
    most_s: Annotated[float, typer.Option("--most-seconds", min=1, help="How long it may take.")] = 6 * 3600.0,
    show: Annotated[bool, typer.Option("--show", help="Ask nothing: show what is kept of the checkpoint.")] = False,
    json: JsonFlag = False,
) -> None:
    """Ask a checkpoint benchmark tasks with lm-evaluation-harness; what it finds is kept with the checkpoint."""
    from ui.render.benchmark_table import benchmark_table

    if show:
        with connect() as client:
            kept = client.benchmarks(checkpoint)
        emit(kept) if json else console().print(benchmark_table(kept))
        return
    if not tasks:
        raise BadInput([Violation(field="--tasks", description=mismatch("none", "names of tasks, or --show"))])
    require("`retain lm-eval`", "train", "lm-eval")
    arguments = ["--tasks", tasks, "--device", device]
    for flag, value in (
        ("--include-path", include_path),
        ("--limit", limit),
        ("--num-fewshot", shots),
        ("--context", context),
    ):
        arguments += [flag, str(value)] if value is not None else []
    arguments += ["--apply-chat-template"] * chat + ["--online"] * online
    _ask(checkpoint, arguments, most_s=most_s, json=json)


def _ask(checkpoint: str, arguments: list[str], *, most_s: float, json: bool) -> None:
    """The harness on a local folder, or on a checkpoint, of which the platform then keeps what was found."""
    from ui.local.lm_eval import benchmark_of, run_harness
    from ui.render.benchmark_table import benchmark_table

    if Path(checkpoint).is_dir():
        from ui.client.views import CheckpointRef

        found = benchmark_of(run_harness(Path(checkpoint), arguments, most_s=most_s), CheckpointRef())
        emit([found]) if json else console().print(benchmark_table([found]))
        return
    from ui.client.address import home_folder
    from ui.local.export import cached_model

    with connect() as client:
        row = client.checkpoint(checkpoint)
        folder = cached_model(client, row.ref, home_folder() / "cache" / "models", say=say)
        document = run_harness(folder, arguments, most_s=most_s)
        # Kept on this side too should the platform be away after hours of work.
        try:
            kept = client.record_benchmark(row.id, benchmark_of(document, row.ref))
        except BaseException:
            say(f"it could not be kept; this is what was found: {json_module.dumps(document)}")
            raise
    emit([kept]) if json else console().print(benchmark_table([kept]))


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command("lm-eval", rich_help_panel="Models")(lm_eval)
