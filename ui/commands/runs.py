"""Verbs for runs: validate, run, list, show, watch, logs, update, cancel, approve, retry, delete."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from retain.values.faults import mismatch
from ui.client import BadInput, ClientError, Violation, connect
from ui.client.errors import EXIT_BAD_INPUT, EXIT_FAILED, MissingExtra
from ui.commands.output import JsonFlag, RunArgument, console, emit, messages, plain, say, show_violations

if TYPE_CHECKING:
    from ui.client.client import RetainClient
    from ui.client.views import Plan, Run
    from ui.local.preflight import LocalCheck

SpecArgument = Annotated[
    str, typer.Argument(metavar="SPEC", help="YAML file of the pipeline; `-` reads standard input.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Change a field, as in stages.1.learning_rate=1e-5. May be repeated."
    ),
]
ProjectOption = Annotated[
    str,
    typer.Option("--project", help="Project that it belongs to; default: RETAIN_PROJECT, your only one, or `default`."),
]
PriorityOption = Annotated[
    int,
    typer.Option(
        "--priority",
        min=-10,
        max=10,
        help="Place among the waiting runs of its project: a step is worth ten minutes of waiting.",
    ),
]
EtagOption = Annotated[str, typer.Option("--etag", help="Act only if the run has not changed since it was seen.")]


def validate(
    spec: SpecArgument,
    changes: SetOption = None,
    project: ProjectOption = "",
    priority: PriorityOption = 0,
    json: JsonFlag = False,
) -> None:
    """Check a spec and its local data: the plan, or every fault at once."""
    from ui.client.address import Address
    from ui.spec.file import load_spec

    tree = load_spec(spec, changes or [])
    local, unchecked = _looked_at(tree, spec, sent=not Address.from_env().is_loopback)
    if not json:
        for line, details in zip(local.lines(), local.details(), strict=True):
            for text in (line, *details):
                console().print(text, soft_wrap=True, highlight=False, markup=False)
    plan, faults = _judged(tree, local, project=project, priority=priority)
    if faults:
        if json:
            emit({"violations": faults, "sources": local.sources})
        say(f"{spec}: {len(faults)} {'fault' if len(faults) == 1 else 'faults'}")
        show_violations(faults)
        raise typer.Exit(EXIT_BAD_INPUT)
    if json:
        emit({**plain(plan), "sources": local.sources, **({"unchecked": unchecked} if unchecked else {})})
    elif plan:
        from ui.render.needs import needs_lines
        from ui.render.projects import queue_lines
        from ui.render.tables import cost_lines, plan_table

        console().print(plan_table(plan))
        for line in (*plan.policy, *needs_lines(plan), *cost_lines(plan), *queue_lines(plan.queue)):
            console().print(line, soft_wrap=True, highlight=False, markup=False)
    for warning in plan.warnings if plan else ():
        say(f"warning: {warning}")
    if unchecked:
        say(f"error: the server accepts it, but its local data was not checked: {unchecked}")
        raise typer.Exit(EXIT_FAILED)


def _looked_at(tree: dict[str, Any], spec: str, *, sent: bool) -> tuple["LocalCheck", str]:
    """What was found of the local data, and why nobody looked where the packages for it are not installed."""
    from ui.local.preflight import LocalCheck, check_local

    try:
        return check_local(tree, spec, sent=sent), ""
    except MissingExtra as error:
        return LocalCheck(violations=error.violations), error.message


def _judged(
    tree: dict[str, Any], local: "LocalCheck", *, project: str = "", priority: int = 0
) -> tuple["Plan | None", tuple[Violation, ...]]:
    """The server's plan, and all faults. What is at fault here is told also when the server does not answer."""
    try:
        with connect(project=project) as client:
            plan, faults = client.validate(tree, priority=priority)
    except ClientError as error:
        error.violations = (*local.violations, *error.violations)
        raise
    return plan, local.with_server(faults)


def run(
    spec: SpecArgument,
    changes: SetOption = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Submit and return.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only validate.")] = False,
    upload: Annotated[
        bool, typer.Option("--upload", help="Upload local data also to a server on this machine.")
    ] = False,
    request_id: Annotated[
        str, typer.Option("--request-id", help="Name of this request; the same name again is the same run.")
    ] = "",
    project: ProjectOption = "",
    priority: PriorityOption = 0,
    json: JsonFlag = False,
) -> None:
    """Submit a pipeline and follow it. Ctrl-C detaches; it never cancels."""
    from ui.client.address import Address
    from ui.local.upload import place_local_sources
    from ui.spec.file import load_spec

    if dry_run:
        validate(spec, changes, project, priority, json)
        return
    tree = load_spec(spec, changes or [])
    local, unchecked = _looked_at(tree, spec, sent=upload or not Address.from_env().is_loopback)
    if local.violations:
        raise BadInput(_judged(tree, local, project=project)[1])
    if unchecked:
        say(f"the local data is not checked before it is used: {unchecked}")
    for line, facts in zip(local.lines(), local.sources, strict=True):
        for text in (*([] if facts["complete"] else [line]), *facts.get("notes", ())):
            say(text)
    with connect(project=project) as client:
        place_local_sources(client, tree, spec, send=upload or not client.address.is_loopback, say=say)
        plan, _ = client.validate(tree, priority=priority)  # faults are told by the call that creates
        for warning in plan.warnings if plan else ():
            say(f"warning: {warning}")
        created = client.create_run(tree, request_id=request_id or None, priority=priority)
        if detach:
            emit({"run_id": created.id, "state": created.state}) if json else console().print(created.id)
            return
        say(f"run {created.id} is submitted; Ctrl-C detaches")
        _finish(_follow(client, created.id, json), json)


def watch(run_id: RunArgument, json: JsonFlag = False) -> None:
    """Follow a run until it has ended or waits for a person. With --json one resource a line."""
    from ui.render.follow import exit_code

    with connect() as client:
        if json:
            last = None
            for last in client.watch(run_id):
                emit(last)
                if last.is_settled:
                    break
            raise typer.Exit(exit_code(last) if last else 0)
        _finish(_follow(client, run_id, json), json)


def _follow(client: "RetainClient", run_id: str, json: bool) -> "Run":
    from ui.interrupt import insistent
    from ui.render.follow import follow, view_for

    try:
        with insistent():
            return follow(client, run_id, view_for(messages() if json else console()))
    except KeyboardInterrupt:
        say(f"detached; the run continues. `retain watch {run_id}` follows it again, `retain cancel {run_id}` ends it")
        if json:
            emit(_summary(client.get_run(run_id)))
        raise typer.Exit(0) from None


def _finish(run_: "Run", json: bool) -> None:
    from ui.render.follow import exit_code, outcome_line
    from ui.render.progress_table import of_run
    from ui.render.tables import progress_table

    if json:
        emit(_summary(run_))
    else:
        console().print(progress_table(of_run(run_)))
        console().print(outcome_line(run_), soft_wrap=True, highlight=False)
    raise typer.Exit(exit_code(run_))


def _summary(run_: "Run") -> dict[str, Any]:
    stages = [
        {
            "name": stage.name,
            "kind": stage.kind,
            "domain": stage.domain,
            "state": stage.state,
            "forgetting": stage.forgetting,
            "checkpoint": reference.uri if (reference := stage.accepted or stage.latest) else None,
        }
        for stage in run_.stages
    ]
    return {
        "run_id": run_.id,
        "state": run_.state,
        "reason": run_.status.reason,
        "message": run_.status.message,
        "stages": stages,
    }


def list_runs(
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only runs in this state (RUNNING, ...). May be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")] = 50,
    project: Annotated[str, typer.Option("--project", help="Only runs of this project.")] = "",
    search: Annotated[
        str,
        typer.Option(
            "--search", metavar="WORDS", help="Only runs with all of these in id, name or labels (key=value)."
        ),
    ] = "",
    json: JsonFlag = False,
) -> None:
    """List the pipeline runs, newest first."""
    from ui.render.tables import STATE_STYLES, runs_table

    states = tuple(name.upper() for name in state or [])
    unknown = [name for name in states if name not in STATE_STYLES]
    if unknown:
        raise BadInput([Violation(field="--state", description=mismatch(repr(unknown[0]), ", ".join(STATE_STYLES)))])
    with connect() as client:
        found = client.list_runs(states=states, limit=limit, project=project, words=search)
    emit(found) if json else console().print(runs_table(found))


def show(run_id: RunArgument, json: JsonFlag = False) -> None:
    """Show a run: its stages, its last scores and its decisions."""
    with connect() as client:
        found = client.get_run(run_id)
        if json:
            emit(found)
            return
        made = client.decisions(run_id)
    from ui.render import formatting
    from ui.render.data.facts import data_lines
    from ui.render.follow import outcome_line
    from ui.render.kept import kept_rows
    from ui.render.probe_table import probe_rows, probe_table
    from ui.render.progress_table import of_run
    from ui.render.severity import Thresholds
    from ui.render.tables import decisions_table, kept_table, progress_table, stages_table

    out = console()
    out.print(outcome_line(found), soft_wrap=True, highlight=False)
    out.print(f"{found.name}, created {formatting.moment(found.create_time)}", highlight=False)
    out.print(progress_table(of_run(found)))
    out.print(stages_table(found))
    kept = kept_rows(found.stages, Thresholds.of_spec(found.spec))
    if kept:
        out.print(kept_table(kept))
    probed = probe_rows(found.stages)
    if probed:
        out.print(probe_table(probed))
    for line in data_lines(found.status):
        out.print(line, soft_wrap=True, highlight=False)
    if made:
        out.print(decisions_table(made))


def logs(
    run_id: RunArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print lines as they come, until the run ends.")
    ] = False,
    tail: Annotated[
        int, typer.Option("--tail", "-n", min=0, max=10_000, help="Only the last so many lines (0: all).")
    ] = 0,
    search: Annotated[
        str, typer.Option("--search", metavar="WORDS", help="Only lines with these words, with their numbers.")
    ] = "",
    json: JsonFlag = False,
) -> None:
    """Print the log lines of a run's workers."""
    import sys

    with connect() as client:
        try:
            for piece in client.logs(run_id, follow=follow, last_lines=tail, containing=search):
                line = f"{piece.submission}:{piece.line}: {piece.text}\n" if search else piece.text
                emit(piece) if json else sys.stdout.write(line)
                sys.stdout.flush()
        except KeyboardInterrupt:
            say("stopped reading; the run continues")


def update(
    run_id: RunArgument,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="labels.KEY, checkpoints.keep_last, forgetting.budget or forgetting.max_retries; without a value a "
            "label goes, and the others get their default. May be repeated.",
        ),
    ] = None,
    etag: EtagOption = "",
    json: JsonFlag = False,
) -> None:
    """Change labels, retention or the promise about forgetting of a run, also while it trains."""
    from ui.spec.file import override_of

    with connect() as client:
        _changed(client.update(run_id, dict(override_of(change) for change in changes or []), etag=etag), json)


def cancel(run_id: RunArgument, etag: EtagOption = "", json: JsonFlag = False) -> None:
    """End a run."""
    with connect() as client:
        _changed(client.cancel(run_id, etag=etag), json)


def approve(
    run_id: RunArgument,
    accept: Annotated[bool, typer.Option("--accept", help="Accept the stage's checkpoint as it is.")] = False,
    continues: Annotated[bool, typer.Option("--continue", help="Allow one more retry.")] = False,
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why, for the record.")] = "",
    etag: EtagOption = "",
    json: JsonFlag = False,
) -> None:
    """Resume a SUSPENDED run: --accept its checkpoint, or --continue with one more retry."""
    if accept == continues:
        said = mismatch("both" if accept else "neither", "one of --accept and --continue")
        raise BadInput([Violation(field="approve", description=said)])
    with connect() as client:
        _changed(client.approve(run_id, "ACCEPT" if accept else "CONTINUE", etag=etag, comment=comment), json)


def retry(run_id: RunArgument, etag: EtagOption = "", json: JsonFlag = False) -> None:
    """Resume a FAILED or CANCELLED run from its last checkpoint."""
    with connect() as client:
        _changed(client.retry(run_id, etag=etag), json)


def delete(run_id: RunArgument, etag: EtagOption = "", json: JsonFlag = False) -> None:
    """Delete a run that has ended."""
    with connect() as client:
        client.delete(run_id, etag=etag)
    emit({"deleted": run_id}) if json else say(f"run {run_id} is deleted")


def _changed(run_: "Run", json: bool) -> None:
    from ui.render.follow import outcome_line

    emit(run_) if json else console().print(outcome_line(run_), soft_wrap=True, highlight=False)


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    panel = "Runs"
    for verb in (validate, run, show, watch, logs, update, cancel, approve, retry, delete):
        app.command(rich_help_panel=panel)(verb)
    app.command("list", rich_help_panel=panel)(list_runs)
