"""The interactive menus: the progress table, a menu per stage that says what is locked, runs, and guides."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markdown import Markdown
from rich.panel import Panel
from rich.prompt import Prompt

from ui import guides
from ui.client.errors import BadInput, ClientError
from ui.client.views import Checkpoint
from ui.interrupt import insistent
from ui.progress import of_house
from ui.render import progress_table as progress
from ui.render.follow import follow, outcome_line, view_for
from ui.render.progress_table import TITLES, ProgressRow
from ui.render.tables import (
    checkpoints_table,
    cost_lines,
    decisions_table,
    plan_table,
    progress_table,
    runs_table,
    stages_table,
)
from ui.spec.single_stage import DOMAINS, LESSONS, stage_spec

if TYPE_CHECKING:
    from ui.client.client import RetainClient

KINDS = tuple(TITLES)
Ask = Callable[[str, list[str]], str]


def ask_person(question: str, choices: list[str]) -> str:
    """Asks on the terminal until the answer is one of the choices."""
    return Prompt.ask(question, choices=choices)


class Menu:
    """The menus over one client. `ask` may be replaced, which is how tests walk through them."""

    def __init__(self, client: "RetainClient", console: Console, *, ask: Ask = ask_person) -> None:
        self._client = client
        self._console = console
        self._ask = ask

    def main(self) -> None:
        """The main menu, until the person leaves."""
        actions = {"1": 0, "2": 1, "3": 2}
        while True:
            rows = self._rows()
            self._console.print(progress_table(rows))
            self._lines(
                "1  Pre-training",
                "2  Mid-training",
                "3  Fine-tuning",
                "r  Runs",
                "l  Learn about the pipeline",
                "q  Leave",
            )
            try:
                answer = self._ask("Choose", ["1", "2", "3", "r", "l", "q"])
                if answer == "q":
                    return
                if answer == "r":
                    self._runs()
                elif answer == "l":
                    self._learn()
                else:
                    self._stage(KINDS[actions[answer]], rows)
            except BadInput as error:
                self._console.print("[red]the input is wrong[/red]")
                for fault in error.violations:
                    self._console.print(f"  {fault.field}: {fault.description}", markup=False, highlight=False)
            except (KeyboardInterrupt, EOFError):
                self._console.print()
                return

    def _rows(self) -> list[ProgressRow]:
        return of_house(self._client)[0]

    def _stage(self, kind: str, rows: list[ProgressRow]) -> None:
        own = [row for row in rows if row.kind == kind]
        self._console.print(Panel(LESSONS[kind], title=TITLES[kind], title_align="left"))
        if all(row.status == "LOCKED" for row in own):
            self._console.print(f"⊗ locked. It needs {own[0].unlocked_by}.", highlight=False, markup=False)
            return
        self._lines("s  Start", "c  Checkpoints", "l  Learn", "b  Back")
        answer = self._ask("Choose", ["s", "c", "l", "b"])
        if answer == "s":
            self._start(kind)
        elif answer == "c":
            found = [row for row in self._client.checkpoints() if row.kind == kind]
            self._console.print(checkpoints_table(found))
        elif answer == "l":
            topic = {"PRETRAIN": "pipeline", "MIDTRAIN": "midtraining", "FINETUNE": "forgetting"}[kind]
            self._console.print(Markdown(guides.guide(topic).text))

    def _start(self, kind: str) -> None:
        domain, base = "CODE", None
        if kind == "MIDTRAIN":
            domain = self._ask("Domain", list(DOMAINS))
        if kind != "PRETRAIN":
            base = self._base(kind)
            if base is None:
                return
        tree = stage_spec(kind, domain=domain, base_uri=base.ref.uri if base else "")
        plan, faults = self._client.validate(tree)
        if plan is None:
            raise BadInput(faults)
        self._console.print(plan_table(plan))
        for line in (*plan.policy, *cost_lines(plan), *(f"warning: {text}" for text in plan.warnings)):
            self._console.print(line, highlight=False, markup=False)
        if self._ask("Start it?", ["y", "n"]) == "n":
            return
        run = self._client.create_run(tree)
        self._console.print(f"run {run.id}; Ctrl-C leaves it running and returns here")
        try:
            with insistent():
                run = follow(self._client, run.id, view_for(self._console))
            self._console.print(outcome_line(run))
        except KeyboardInterrupt:
            self._console.print(f"\nthe run continues; `retain watch {run.id}` follows it")

    def _base(self, kind: str) -> Checkpoint | None:
        """Lets the person choose what to build on: an accepted earlier checkpoint or an imported model."""
        fit = {"PRETRAIN"} if kind == "MIDTRAIN" else {"PRETRAIN", "MIDTRAIN"}
        found = [row for row in self._client.checkpoints() if row.state == "ACCEPTED" and row.kind in fit][:9]
        for number, row in enumerate(found, start=1):
            self._console.print(f"{number}  {row.id}", highlight=False)
        answer = self._ask("Build on (b: back)", [str(number) for number in range(1, len(found) + 1)] + ["b"])
        return None if answer == "b" else found[int(answer) - 1]

    def _runs(self) -> None:
        found = self._client.list_runs(limit=9)
        self._console.print(runs_table(found))
        if not found:
            return
        answer = self._ask(
            "Number of the run, newest is 1 (b: back)", [str(number) for number in range(1, len(found) + 1)] + ["b"]
        )
        if answer == "b":
            return
        run = found[int(answer) - 1]
        self._console.print(outcome_line(run))
        self._console.print(progress_table(progress.of_run(run)))
        self._console.print(stages_table(run))
        self._console.print(decisions_table(self._client.decisions(run.id)))
        if run.state == "SUSPENDED":
            self._suspended(run.id)

    def _suspended(self, run_id: str) -> None:
        self._lines(
            "a  Accept the checkpoint as it is", "c  Continue with one more retry", "x  Cancel the run", "b  Back"
        )
        answer = self._ask("It waits for you", ["a", "c", "x", "b"])
        try:
            if answer in {"a", "c"}:
                self._client.approve(run_id, "ACCEPT" if answer == "a" else "CONTINUE")
            elif answer == "x":
                self._client.cancel(run_id)
        except ClientError as error:
            self._console.print(f"[red]{error.message}[/red]")

    def _learn(self) -> None:
        index, *records = guides.decisions()
        chosen = self._choose([*guides.guides(), index])
        if chosen == index:
            chosen = self._choose(records)
        if chosen is not None:
            self._console.print(Markdown(chosen.text))

    def _choose(self, texts: list[guides.Entry]) -> guides.Entry | None:
        for number, entry in enumerate(texts, start=1):
            self._console.print(f"{number}  {entry.title}", highlight=False, markup=False)
        answer = self._ask("Read (b: back)", [str(number) for number in range(1, len(texts) + 1)] + ["b"])
        return None if answer == "b" else texts[int(answer) - 1]

    def _lines(self, *lines: str) -> None:
        for line in lines:
            self._console.print(line, highlight=False)
