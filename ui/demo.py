"""The demo: submit the template of a domain, show it live, and tell at the end what happened.

`python -m ui.demo --domain code` needs a running stack (`make demo` starts and stops one around it). It ends with 0
only when the run has SUCCEEDED.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from ui import answers
from ui.client import ClientError, connect
from ui.client.views import Run, Stage
from ui.render import formatting
from ui.render.follow import exit_code, follow, outcome_line, view_for
from ui.render.perplexity_table import dual_rows
from ui.render.progress_table import of_run
from ui.render.severity import MARKS, Thresholds
from ui.render.tables import answers_table, decisions_table, dual_table, progress_table
from ui.spec import templates
from ui.spec.file import parse_yaml

if TYPE_CHECKING:
    from ui.client.client import RetainClient

PROMPTS = {
    "PRETRAIN": "The function returns",
    "CODE": "def add(a, b):\n",
    "MATH": "Question: ",
    "SCIENCE": "The energy of",
}
SHOWN_ANSWERS = 8
SAMPLE_TOKENS = 48


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code of the run: 0 succeeded, 1 failed, 5 waits for a person; else that of the client's error."""
    parser = argparse.ArgumentParser(prog="python -m ui.demo", description=__doc__)
    parser.add_argument("--domain", choices=["code", "math", "science"], default="code")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        with connect() as client:
            return show(client, options.domain, console)
    except ClientError as error:
        for violation in error.violations:
            console.print(f"{violation.field}: {violation.description}", markup=False, highlight=False)
        if not error.violations:
            console.print(f"error: {error.message}", markup=False, highlight=False)
        return error.exit_code


def show(client: "RetainClient", domain: str, console: Console) -> int:
    """Runs the demo pipeline of a domain and prints its story."""
    entry = templates.template(f"demo-{domain}")
    console.rule("[bold]Retain: three stages, and nothing forgotten", align="left")
    console.print(entry.title, highlight=False)
    start_s = time.monotonic()
    run = client.create_run(parse_yaml(entry.text, name=entry.name))
    console.print(f"run {run.id}, {sum(_tokens(stage) for stage in run.stages):,} tokens planned\n", highlight=False)
    run = follow(client, run.id, view_for(console))
    elapsed_s = time.monotonic() - start_s
    _tell(client, run, console)
    console.print(f"\n{outcome_line(run)}, after {formatting.duration(elapsed_s)}", soft_wrap=True, highlight=False)
    return exit_code(run)


def _tokens(stage: Stage) -> int:
    return stage.total_tokens


def _tell(client: "RetainClient", run: Run, console: Console) -> None:
    """The end of the story: progress, dual perplexity, decisions, report figures, samples, answers, places."""
    decisions = client.decisions(run.id)
    thresholds = Thresholds.of_spec(run.spec)
    console.print()
    console.print(progress_table(of_run(run)))
    console.print(dual_table(dual_rows(client.history(run.id), decisions, thresholds)))
    acted = [decision for decision in decisions if decision.verdict and decision.verdict != "CONTINUE"]
    console.print(decisions_table(acted))
    _report(run, thresholds, console)
    _samples(client, run, console)
    _answers(client, run, console)
    _places(client, run, console)


def _report(run: Run, thresholds: Thresholds, console: Console) -> None:
    """What the accepted checkpoints score on the report sets, which no decision looked at."""
    for stage in run.stages:
        for score in (score for score in stage.report_scores if not score.shown_only):
            mark = MARKS[thresholds.of_score(score)]
            line = (
                f"{stage.name}: forgetting of {score.retention_set} on its report set {formatting.percent(score.ratio)}"
            )
            if score.ratio_low is not None:
                line += f" (95 %: {formatting.percent(score.ratio_low)} to {formatting.percent(score.ratio_high)})"
            console.print(f"[{mark.style}]{mark.sign}[/] {line}", highlight=False)
        unknown = [score.retention_set for score in stage.report_scores if score.shown_only]
        if unknown:
            said = f"{stage.name}: measured, and never known to this model, so nothing to forget: {', '.join(unknown)}"
            console.print(f"[dim]{MARKS[''].sign} {said}[/]", highlight=False)


def _samples(client: "RetainClient", run: Run, console: Console) -> None:
    """A few words that continue a prompt, by the models that were trained on text."""
    console.print("\n[bold]Text from the models before fine-tuning")
    for stage in run.stages:
        reference, prompt = stage.accepted or stage.latest, PROMPTS.get(stage.domain) or PROMPTS.get(stage.kind)
        if reference is None or prompt is None:
            continue
        try:
            pieces = client.sample(reference, prompt, max_new_tokens=SAMPLE_TOKENS, temperature=0.7, top_k=40, seed=1)
            text = "".join(pieces)
        except ClientError as error:
            console.print(f"[bold]{stage.name}[/]: no sample: {escape(error.message)}", highlight=False)
            continue
        console.print(
            f"[bold]{stage.name}[/]  [dim]{escape(prompt.strip())}[/] {escape(text.strip())}", highlight=False
        )


def _answers(client: "RetainClient", run: Run, console: Console) -> None:
    """What the model learned in fine-tuning: questions that it never saw, before and after, and how many are right."""
    try:
        pair = answers.compared(run)
        questions = answers.unseen_questions(pair.chat, fields=pair.fields)
        found = answers.ask(client, pair, questions)
    except ClientError as error:
        console.print(f"\nNo answers to compare: {escape(error.message)}", highlight=False)
        return
    console.print(
        f"\n[bold]What the model learned in fine-tuning[/]: {len(found)} questions that no training has seen, asked "
        "before and after.\nThe likeliest text is taken; right is what equals the expected answer letter for letter.",
        highlight=False,
    )
    shown = found[:SHOWN_ANSWERS]
    console.print(answers_table(shown, title=f"The first {len(shown)} of {len(found)}"))
    console.print(f"[bold]{answers.score_line(found)}[/]", highlight=False)
    console.print(f"All of them: retain answers {run.id}", highlight=False)


def _places(client: "RetainClient", run: Run, console: Console) -> None:
    """Where the checkpoints are, and how to look on."""
    from ui.client.address import read_stack

    console.print("\n[bold]Where things are")
    for stage in run.stages:
        if stage.accepted:
            console.print(f"{stage.name:14} {stage.accepted.uri}", highlight=False, soft_wrap=True)
    stack = read_stack()
    for name in ("metrics", "object_store", "panel"):
        if name in stack:
            console.print(f"{name:14} {stack[name]}", highlight=False, soft_wrap=True)
    if run.status.prepared:
        tokens = ", ".join(f"{folder.name} {formatting.amount(folder.tokens)}" for folder in run.status.prepared)
        console.print(f"prepared       {tokens} tokens", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
