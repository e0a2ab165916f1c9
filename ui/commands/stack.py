"""Verbs for the local stack and for bug reports: up, down, env."""

import os
import subprocess
import sys

import typer

from ui.client.address import read_stack
from ui.client.errors import EXIT_FAILED
from ui.commands.output import JsonFlag, console, emit, say

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
    _launcher("up", ctx.args, json)
    if json:
        emit(read_stack())


def down(ctx: typer.Context, json: JsonFlag = False) -> None:
    """Stop the local stack."""
    before = read_stack()
    _launcher("down", ctx.args, json)
    if json:
        emit({"stopped": sorted(before)})


def _launcher(verb: str, arguments: list[str], json: bool) -> None:
    """The launcher is a module of `deploy`; with --json what it prints for people goes to standard error."""
    output = sys.stderr if json else None
    try:
        code = subprocess.run(
            [sys.executable, "-P", "-m", "deploy.local", verb, *arguments], check=False, stdout=output
        ).returncode
    except KeyboardInterrupt:
        code = EXIT_FAILED
    if code:
        say(f"error: `{verb}` ended with {code}")
        raise typer.Exit(EXIT_FAILED)


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
