"""Verbs for the local stack and for bug reports: up, down, env."""

import os
import signal
import subprocess
import sys
from typing import TextIO

import typer

from ui.client.address import read_stack
from ui.client.errors import EXIT_FAILED
from ui.commands.output import JsonFlag, console, emit, say
from ui.extras import require

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
_PACKAGES = (
    "retain",
    "torch",
    "ray",
    "grpcio",
    "protobuf",
    "numpy",
    "tokenizers",
    "safetensors",
    "streamlit",
    "minio",
    "SQLAlchemy",
)
_SECRET = ("TOKEN", "KEY", "PASSWORD", "DATABASE_URL")


def up(ctx: typer.Context, json: JsonFlag = False) -> None:
    """Start the local stack: object store, Ray, evaluator, orchestrator, panel. State stays in RETAIN_HOME."""
    partly = any(word.partition("=")[0] == "--only" for word in ctx.args)  # what such a part lacks, it says itself
    require("`retain up`", "server", *([] if partly else ["train", "panel"]))
    _launcher("up", [*ctx.args, *(["--json"] if json else [])], None)


def down(ctx: typer.Context, json: JsonFlag = False) -> None:
    """Stop the local stack."""
    require("`retain down`", "server")
    before = read_stack()
    _launcher("down", ctx.args, sys.stderr if json else None)
    if json:
        emit({"stopped": sorted(before)})


def _launcher(verb: str, arguments: list[str], output: TextIO | None) -> None:
    """The launcher is a module of `deploy`; with --json it prints one JSON object, the rest goes to standard error."""
    code = attended([sys.executable, "-P", "-m", "deploy.local", verb, *arguments], output)
    if code:
        say(f"error: `{verb}` ended with {code}")
        raise typer.Exit(EXIT_FAILED)


def attended(command: list[str], output: TextIO | None) -> int:
    """Exit code of a child that ends in order, however this process is told to end.

    Ctrl-C in a terminal reaches both: the child acts, and this process waits for it, as often as it is pressed. Every
    other signal to end is passed on.
    """
    before = {}
    child = subprocess.Popen(command, stdout=output)

    def pass_on(number: int, _frame: object) -> None:
        if number != signal.SIGINT or not _from_terminal():
            child.send_signal(number)

    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before[number] = signal.signal(number, pass_on)
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _from_terminal() -> bool:
    """Whether this process is in the foreground of a terminal, whose Ctrl-C the child gets as well."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


def environment(json: JsonFlag = False) -> None:
    """Versions and settings, for a bug report. Secrets are left out."""
    import platform
    from importlib import metadata

    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    settings = {
        name: "(set)" if any(word in name for word in _SECRET) else value
        for name, value in sorted(os.environ.items())
        if name.startswith(("RETAIN_", "AWS_", "HF_", "RAY_")) or name in {"OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"}
    }
    report = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": versions,
        "environment": settings,
        "stack": read_stack(),
    }
    if json:
        emit(report)
        return
    out = console()
    for title, value in report.items():
        if isinstance(value, dict):
            out.print(f"{title}:", highlight=False)
            for name, entry in value.items() or {"(none)": ""}.items():
                out.print(f"  {name} {entry}".rstrip(), highlight=False, markup=False, soft_wrap=True)
        else:
            out.print(f"{title}: {value}", highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    panel = "Stack"
    for verb in (up, down):
        app.command(rich_help_panel=panel, context_settings=_PASS_ON)(verb)
    app.command("env", rich_help_panel=panel)(environment)
