"""Verbs that look: status, system, metrics, decisions, history, answers."""

from dataclasses import asdict
from typing import Annotated

import typer

from ui.client import connect
from ui.client.errors import EXIT_FAILED
from ui.commands.output import JsonFlag, RunArgument, console, emit, plain


def status(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Only this run; without it everything there is.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """The pipeline progress table: what is complete, running, ready or locked, and what unlocks it."""
    from ui.progress import of_house
    from ui.render.probe_table import probe_rows, probe_table
    from ui.render.progress_table import of_run
    from ui.render.tables import progress_table

    with connect() as client:
        if run_id:
            runs = [client.get_run(run_id)]
            rows = of_run(runs[0])
        else:
            rows, runs = of_house(client)
    waiting = {run.id: run.status.waiting_for for run in runs if run.status.waiting_for}
    if json:
        emit({"stages": rows, "waiting": waiting})
        return
    out = console()
    out.print(progress_table(rows))
    probed = probe_rows(runs[0].stages) if run_id else []
    if probed:
        out.print(probe_table(probed))
    for waiting_run, why in waiting.items():
        out.print(f"{waiting_run} waits for: {why}", soft_wrap=True, highlight=False, markup=False)


def system(json: JsonFlag = False) -> None:
    """How the installation stands: the queue, what is over a threshold, what does not answer. Exit code 1 for that."""
    with connect() as client:
        told = client.system()
    found = told.status
    if json:
        emit({**plain(found), "alerts": told.alerts})
    else:
        from ui.render.system_table import alert_lines, components_table, queue_line

        out = console()
        out.print(queue_line(found), highlight=False)
        out.print(components_table(found))
        for line in alert_lines(told.alerts):
            out.print(line, soft_wrap=True, highlight=False, markup=False)
    if any(component.state == "DOWN" for component in found.components):
        raise typer.Exit(EXIT_FAILED)


def metrics(
    run_id: RunArgument,
    name: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            help="Only this figure: train_loss_nats, tokens_per_second, learning_rate, curriculum_level, share, "
            "perplexity, baseline_perplexity or forgetting; may be repeated.",
        ),
    ] = None,
    stage: Annotated[str, typer.Option("--stage", help="Only this stage (pretrain, midtrain/code, finetune).")] = "",
    points: Annotated[int, typer.Option("--points", help="At most so many of each; default: 500, at most 2000.")] = 0,
    json: JsonFlag = False,
) -> None:
    """How the figures of a run went: loss, speed, rate, shares, perplexities, forgetting."""
    with connect() as client:
        found = client.metrics(run_id, names=tuple(name or ()), stage=stage, max_points=points)
    if json:
        emit([asdict(series) for series in found])  # as plain data: its columns are numbers, not the texts of 64 bits
        return
    from ui.render.metrics_table import metrics_table

    console().print(metrics_table(found))


def decisions(run_id: RunArgument, json: JsonFlag = False) -> None:
    """Every decision of the gate, with its evidence."""
    with connect() as client:
        made = client.decisions(run_id)
    if json:
        emit(made)
        return
    from ui.render.tables import decisions_table

    out = console()
    out.print(decisions_table(made))
    if made and made[-1].recommendations:
        out.print("Recommendations:")
        for line in made[-1].recommendations:
            out.print(f"  → {line}", highlight=False, markup=False)


def history(
    run_id: RunArgument,
    stage: Annotated[str, typer.Option("--stage", help="Only this stage (pretrain, midtrain/code, finetune).")] = "",
    json: JsonFlag = False,
) -> None:
    """The measured history: perplexity of what is learned and of what must be kept, and the forgetting."""
    with connect() as client:
        records = client.history(run_id, stage=stage)
        if json:
            emit(records)
            return
        run = client.get_run(run_id)
        made = client.decisions(run_id)
    from ui.render.perplexity_table import dual_rows
    from ui.render.severity import Thresholds
    from ui.render.tables import dual_table

    out, thresholds = console(), Thresholds.of_spec(run.spec)
    rows = dual_rows(records, made, thresholds)
    out.print(dual_table(rows))
    for row in rows:
        if said := thresholds.warning(row.forgetting):
            out.print(f"? {row.stage} step {row.step}, {row.worst_set}: {said}", highlight=False, markup=False)


def answers(
    run_id: RunArgument,
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", "-p", help="Ask this instead; may be repeated. Nothing is judged.")
    ] = None,
    data: Annotated[
        str, typer.Option("--data", metavar="SOURCE", help="Take the questions from here; default: the stage's own.")
    ] = "",
    number: Annotated[int, typer.Option("--number", "-n", min=1, max=1000, help="At most so many questions.")] = 24,
    json: JsonFlag = False,
) -> None:
    """What fine-tuning changed: questions that were never seen, answered before and after, beside the right answers."""
    from ui import answers as asking

    with connect() as client:
        pair = asking.compared(client.get_run(run_id))
        if prompt:
            questions = [asking.Question(prompt=text) for text in prompt]
        else:
            fields = {} if data else pair.fields
            questions = asking.unseen_questions(data or pair.chat, fields=fields, limit=number)
        found = asking.ask(client, pair, questions)
    before, after, judged = asking.score(found)
    if json:
        counts = {"questions": judged, "right_before": before, "right_after": after}
        places = {"stage": pair.stage, "before": pair.before.uri, "after": pair.after.uri}
        emit({**places, **counts, "answers": [answer.as_dict() for answer in found]})
        return
    from ui.render.tables import answers_table

    out = console()
    out.print(answers_table(found, title=f"{pair.stage}: answers before and after"))
    if judged:
        out.print(asking.score_line(found), highlight=False)


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file."""
    for verb in (status, system, metrics, decisions, history, answers):
        app.command(rich_help_panel="Insight")(verb)
