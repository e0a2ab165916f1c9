"""The `retain` command (also `python -m ui.cli`).

Exit codes: 0 done; 1 the run or the check failed; 2 bad input; 3 the server cannot be reached; 4 refused; 5 the run is
SUSPENDED and waits for a person.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ui.client.errors import ClientError
from ui.commands import (
    benchmarks,
    garbage,
    identity,
    inspect,
    login,
    models,
    preview,
    projects,
    runs,
    stack,
    sweep,
    texts,
    track,
)
from ui.commands.output import fail


class Verbs(TyperGroup):
    """The one place where an error of the client becomes a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ClientError as error:
            raise fail(ctx, error) from error


def _version(wanted: bool) -> None:
    if wanted:
        from ui.client.version import VERSION

        typer.echo(f"retain {VERSION}")
        raise typer.Exit


def build() -> typer.Typer:
    """The command with all its verbs."""
    app = typer.Typer(
        name="retain",
        cls=Verbs,
        help="Train language models through pre-training, mid-training and fine-tuning without losing what they knew.",
        epilog="Exit codes: 0 done, 1 failed, 2 bad input, 3 no server, 4 refused, 5 waits for a person.",
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        no_args_is_help=False,
    )

    @app.callback(invoke_without_command=True)
    def entry(
        ctx: typer.Context,
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
        ] = False,
        ca: Annotated[
            Path | None,
            typer.Option(help="PEM file of who signed the server's certificate: speak TLS. Default: RETAIN_TLS_CA."),
        ] = None,
    ) -> None:
        if ca is not None:
            os.environ["RETAIN_TLS_CA"] = str(ca)  # as set by hand: every client of this process reads it
        if ctx.invoked_subcommand is not None:
            return
        if sys.stdin.isatty() and sys.stdout.isatty():
            texts.menu()
        else:
            typer.echo(ctx.get_help())

    for family in (
        runs,
        preview,
        track,
        sweep,
        inspect,
        models,
        benchmarks,
        garbage,
        login,
        identity,
        projects,
        texts,
        stack,
    ):
        family.register(app)
    return app


app = build()


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
