"""`retain whoami`, `retain tokens create|list|revoke`, `retain audit`: who may do what, and who did what."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from ui.client import connect
from ui.commands.garbage import seconds_of
from ui.commands.output import JsonFlag, console, emit, say

_PANEL = "Access"
tokens = typer.Typer(help="API tokens for people and programs: create, list, revoke.", no_args_is_help=True)


def whoami(json: JsonFlag = False) -> None:
    """Whose token this command sends, and its roles."""
    with connect() as client:
        caller = client.identity.who_am_i()
    if json:
        emit(caller)
    else:
        where = _projects(caller.roles, caller.projects)
        said = f"{caller.subject} ({caller.kind}): {', '.join(caller.roles)}; projects: {where}"
        console().print(said, highlight=False, markup=False)


@tokens.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, hyphens; a name is given once.")],
    role: Annotated[
        list[str] | None, typer.Option("--role", help="viewer, operator or admin; may be repeated. Default: viewer.")
    ] = None,
    lifetime: Annotated[
        str, typer.Option("--lifetime", metavar="AGE", help="How long it is good: 12h, 30d; default: 90 days.")
    ] = "",
    project: Annotated[
        list[str] | None,
        typer.Option("--project", help="Project that its holder may use; may be repeated. Default: `default`."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Make a token. Its secret is printed once, on standard output; the server keeps a hash."""
    with connect() as client:
        made, secret = client.identity.create_token(
            name,
            roles=tuple(role or ("viewer",)),
            lifetime_s=seconds_of(lifetime, "--lifetime"),
            projects=tuple(project or ()),
        )
    if json:
        emit({"token": made, "secret": secret})
        return
    say(f"{made.name} ({', '.join(made.roles)}) is good until {_shown(made.expire_time_s)}; set RETAIN_TOKEN to:")
    typer.echo(secret)


@tokens.command("list")
def list_tokens(json: JsonFlag = False) -> None:
    """Every token that was ever made, without its secret."""
    from rich.table import Table

    with connect() as client:
        found = client.identity.tokens()
    if json:
        emit(found)
        return
    table = Table("name", "roles", "projects", "made by", "expires", "last used", "revoked")
    for token in found:
        table.add_row(
            token.name,
            ", ".join(token.roles),
            _projects(token.roles, token.projects),
            token.created_by,
            _shown(token.expire_time_s),
            _shown(token.last_used_time_s),
            _shown(token.revoke_time_s),
        )
    console().print(table)


@tokens.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="Its name.")], json: JsonFlag = False) -> None:
    """End a token: the orchestrator lets nobody in with it from here on, the evaluator 15 s later."""
    with connect() as client:
        revoked = client.identity.revoke_token(name)
    if json:
        emit(revoked)
    else:
        say(f"{revoked.name} was revoked at {_shown(revoked.revoke_time_s)}")


def audit(
    subject: Annotated[str, typer.Option("--subject", help="Only what this one did.")] = "",
    resource: Annotated[str, typer.Option("--resource", help="Only what was done to this run, token, ...")] = "",
    action: Annotated[str, typer.Option("--action", help="Only this call, as in CreatePipelineRun.")] = "",
    outcome: Annotated[str, typer.Option("--outcome", help="Only what came out so: OK, PERMISSION_DENIED, ...")] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help="Only from then on: 12h or 3d ago, or 2026-11-27T09:00.")
    ] = "",
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="Only before then, in the same forms.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
    json: JsonFlag = False,
) -> None:
    """Who did what, from where, newest first."""
    from rich.table import Table
    from rich.text import Text

    with connect() as client:
        events = client.identity.audit(
            subject=subject,
            resource=resource,
            action=action,
            outcome=outcome,
            since_s=_when(since, "--since"),
            until_s=_when(until, "--until"),
            limit=limit,
        )
    if json:
        emit([asdict(event) for event in events])  # as plain data: an event's own `resource` is no view of it
        return
    table = Table("time", "who", "from", "did", "to", "outcome", "before", "after")
    for event in events:
        texts = (event.subject, event.peer, event.action, event.resource, event.outcome, event.before, event.after)
        # As text: names that others chose are not markup, and control characters do nothing to a terminal.
        table.add_row(_shown(event.time_s), *(Text("".join(c if c.isprintable() else "?" for c in t)) for t in texts))
    console().print(table)


def _when(text: str, option: str) -> float | None:
    """Unix seconds of `12h` (so long ago) or of a time in ISO 8601 (local where it names no zone); None for nothing."""
    from datetime import datetime
    from time import time

    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return time() - seconds_of(text, option)


def _projects(roles: Sequence[str], projects: Sequence[str]) -> str:
    return "all" if {"admin", "service"} & set(roles) else ", ".join(projects)


def _shown(time_s: float | None) -> str:
    from ui.client.views import moment

    time = moment(time_s)
    return time.strftime("%Y-%m-%d %H:%M:%S UTC") if time else "-"


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    app.command(rich_help_panel=_PANEL)(whoami)
    app.add_typer(tokens, name="tokens", rich_help_panel=_PANEL)
    app.command(rich_help_panel=_PANEL)(audit)
