"""Verbs for models: checkpoints, export, import, eval, sample."""

import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ui.client import connect
from ui.client.address import home_folder
from ui.client.errors import EXIT_BAD_INPUT, EXIT_FAILED
from ui.commands.output import JsonFlag, console, emit, plain, say
from ui.extras import require

if TYPE_CHECKING:
    from retain.values import Checkpoint

GGUF_FILE = "model-f32.gguf"


class Format(StrEnum):
    """How a checkpoint is written."""

    HF = "hf"
    GGUF = "gguf"


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A Hugging Face folder, or a checkpoint (id, s3:// URI, digest), which is exported first."
    ),
]


def checkpoints(
    run_id: Annotated[str, typer.Argument(metavar="[RUN]", help="Only those of this run.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")] = 200,
    json: JsonFlag = False,
) -> None:
    """The lineage: every checkpoint with its digest and the parent that it grew from."""
    from ui.render.tables import checkpoints_table

    with connect() as client:
        found = client.checkpoints(run_id=run_id, limit=limit)
    emit([_named(row) for row in found]) if json else console().print(checkpoints_table(found))


def export(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Its id, its s3:// URI, or 8 or more digits of its digest.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder.")],
    training_state: Annotated[
        bool, typer.Option("--training-state", help="Into DIR/checkpoint-STEP, with optimizer and trainer_state.json.")
    ] = False,
    form: Annotated[
        Format, typer.Option("--format", help="hf: a Hugging Face folder; gguf: one file for llama.cpp, in float32.")
    ] = Format.HF,
    licence: Annotated[
        str, typer.Option("--license", metavar="ID", help="Of the model, for its card: such as apache-2.0.")
    ] = "",
    json: JsonFlag = False,
) -> None:
    """Write a checkpoint as a Hugging Face folder, or as GGUF; with a model card. Every file is checked by its hash."""
    from ui.local.export import write_export
    from ui.local.model_card import check_licence, model_card

    check_licence(licence)
    if form is Format.GGUF:
        _export_gguf(checkpoint, folder, training_state=training_state, licence=licence, json=json)
        return
    with connect() as client:
        made, target = write_export(
            client,
            checkpoint,
            folder,
            with_training_state=training_state,
            card=lambda row: model_card(client, row, licence=licence),
            say=say,
        )
    if json:
        emit({**_named(made.checkpoint), "path": str(target), "files": [file.path for file in made.files]})
    else:
        console().print(str(target), soft_wrap=True, highlight=False, markup=False)


def _export_gguf(checkpoint: str, folder: Path, *, training_state: bool, licence: str, json: bool) -> None:
    """Into a new or empty folder: the model as one file, beside its card."""
    from retain.values.faults import mismatch
    from ui.client.errors import BadInput, Violation
    from ui.local.export import arriving, cached_model
    from ui.local.model_card import NAME, model_card

    if training_state:
        said = mismatch("--training-state", "none with --format gguf, which has no place for it")
        raise BadInput([Violation(field="--format", description=said)])
    require("`retain export --format gguf`", "gguf")
    with connect() as client:
        row = client.checkpoint(checkpoint)
        card = model_card(client, row, licence=licence, library="gguf")
        with arriving(folder, say) as fresh:
            model = cached_model(client, row.ref, home_folder() / "cache" / "models", say=say)
            _child("model.cli.gguf_export", [str(model), str(fresh / GGUF_FILE), f"--name={row.id}"])
            (fresh / NAME).write_text(card, encoding="utf-8")
    path = folder / GGUF_FILE
    if json:
        emit({**_named(row), "path": str(path), "files": [GGUF_FILE, NAME]})
    else:
        console().print(str(path), soft_wrap=True, highlight=False, markup=False)


def void(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Its id, its s3:// URI, or 8 or more digits of its digest.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.")] = "",
    json: JsonFlag = False,
) -> None:
    """Set a checkpoint aside: nothing resumes from it, and the newest good one before it takes its place."""
    with connect() as client:
        row = client.void_checkpoint(checkpoint, reason=reason)
    if json:
        emit(_named(row))
    else:
        console().print(f"{row.id} is {row.standing}", soft_wrap=True, highlight=False, markup=False)


def import_model(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Hugging Face folder of a family that Retain knows.")],
    name: Annotated[str, typer.Option("--name", help="Name for people; default: the folder's.")] = "",
    json: JsonFlag = False,
) -> None:
    """Upload a Hugging Face folder as a base to train on."""
    from ui.client.errors import BadInput, MissingExtra
    from ui.local.hf_folder import upload_names
    from ui.local.preflight import check_model_folder
    from ui.local.transfer import upload_files

    files = upload_names(folder)
    try:
        found = check_model_folder(str(folder))
    except MissingExtra as error:
        say(f"the folder is not checked before it is sent: {error.message}")
    else:
        if found.violations:
            raise BadInput(list(found.violations))
        for line in found.lines():
            say(line)
    with connect() as client:
        uri = upload_files(client, files, say=say)
        made = client.import_checkpoint(uri, name=name or folder.resolve().name)
    emit(_named(made)) if json else console().print(f"{made.id}  {made.ref.uri}", soft_wrap=True, highlight=False)


def evaluate(
    model: ModelArgument,
    data: Annotated[
        list[str], typer.Option("--data", metavar="FILE", help="Text, jsonl, csv or parquet file. May be repeated.")
    ],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="Further files, as in --data a.jsonl b.jsonl.")
    ] = None,
    context: Annotated[
        int | None, typer.Option("--context", min=1, help="Tokens in a window; default: the model's.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first so many documents of each file.")
    ] = None,
    batch_rows: Annotated[int | None, typer.Option("--batch-rows", min=1, help="Windows in a forward pass.")] = None,
    rolling: Annotated[
        bool, typer.Option("--rolling", help="Each document alone, as lm-evaluation-harness measures it.")
    ] = False,
    bare: Annotated[
        bool, typer.Option("--bare", help="With --rolling: without the tokens that the tokenizer adds.")
    ] = False,
    output: Annotated[
        str | None, typer.Option("--output", metavar="DIR", help="Also write results_{date}.json there.")
    ] = None,
    save: Annotated[
        str | None, typer.Option("--save", metavar="FILE", help="Also write the results of each document there.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="FILE", help="What --save wrote of another model: forgetting, in pairs."),
    ] = None,
    on_server: Annotated[
        bool, typer.Option("--on-server", help="Upload the files, and let the server measure: needs no torch here.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Measure a model on files: perplexity and bits per byte. Needs no server for a local folder."""
    if on_server:
        from ui.commands.eval_on_server import evaluate_on_server

        here = {"--batch-rows": batch_rows, "--output": output, "--save": save, "--against": against}
        refused = {name: value is not None for name, value in here.items()} | {"--rolling": rolling, "--bare": bare}
        files = [*data, *(more or [])]
        evaluate_on_server(model, files, context=context or 0, documents=limit or 0, refused=refused, json=json)
        return
    require("`retain eval`", "train")
    arguments = [str(_local_model(model)), "--data", *data, *(more or [])]
    for flag, value in (
        ("--context", context),
        ("--limit", limit),
        ("--batch-rows", batch_rows),
        ("--output", output),
        ("--save", save),
        ("--against", against),
    ):
        arguments += [flag, str(value)] if value is not None else []
    _child("model.cli.evaluate", arguments + ["--rolling"] * rolling + ["--bare"] * bare + ["--json"] * json)


def sample(
    model: ModelArgument,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="Text to continue.")],
    tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="At most so many new tokens.")] = 100,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.0, help="0 takes the likeliest token each time.")
    ] = 0.8,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="Only the likeliest so many; 0 is all.")] = 50,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the choice.")] = 0,
    chat: Annotated[bool, typer.Option("--chat", help="The prompt is a user's turn in the chat template.")] = False,
    json: JsonFlag = False,
) -> None:
    """Generate text with a model. Needs no server for a local folder."""
    require("`retain sample`", "train")
    arguments = [
        str(_local_model(model)),
        f"--prompt={prompt}",
        "--max-new-tokens",
        str(tokens),
        "--temperature",
        str(temperature),
    ]
    arguments += ["--top-k", str(top_k), "--seed", str(seed)] + ["--chat"] * chat + ["--json"] * json
    _child("model.cli.generate", arguments)


def _named(row: "Checkpoint") -> dict[str, Any]:
    """The lineage row with the short names that scripts rely on."""
    return {"checkpoint": row.id, "digest": row.ref.manifest_sha256, **plain(row)}


def _local_model(model: str) -> Path:
    """The folder itself, or a checkpoint's model from the cache."""
    if Path(model).is_dir():
        return Path(model)
    from ui.local.export import cached_model

    with connect() as client:
        return cached_model(client, client.checkpoint(model).ref, home_folder() / "cache" / "models", say=say)


def _child(module: str, arguments: list[str]) -> None:
    """Runs what needs torch as a child, so that the command itself stays light. `-P`: no folder here shadows it."""
    code = subprocess.run([sys.executable, "-P", "-m", module, *arguments], check=False).returncode
    if code:
        raise typer.Exit(code if code in {EXIT_FAILED, EXIT_BAD_INPUT} else EXIT_FAILED)


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    panel = "Models"
    for verb in (checkpoints, export, void, sample):
        app.command(rich_help_panel=panel)(verb)
    app.command("import", rich_help_panel=panel)(import_model)
    app.command("eval", rich_help_panel=panel)(evaluate)
