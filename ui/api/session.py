"""`Session`: everything that people do with a server, in Python."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ui.api import frames
from ui.api.specs import SpecLike, prepared, read
from ui.client.client import RetainClient
from ui.client.errors import BadInput, ClientError, Unreachable
from ui.client.views import Checkpoint, Decision, FileResult, ForgettingRecord, LogText, MetricSeries, Plan, Run
from ui.local.evaluate import wait_for
from ui.local.export import write_export
from ui.local.model_card import model_card
from ui.local.transfer import upload
from ui.updates import Update, updates

if TYPE_CHECKING:
    import pandas as pd

RunLike = str | Run
CheckpointLike = str | Checkpoint


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """All that is known of a run. `notes` say what could not be had (the evaluator may be out of reach)."""

    run: Run
    decisions: tuple[Decision, ...]
    checkpoints: tuple[Checkpoint, ...]
    history: tuple[ForgettingRecord, ...]
    notes: tuple[str, ...] = ()

    @property
    def spec(self) -> dict[str, Any]:
        """The specification with every default filled in."""
        return dict(self.run.resource["spec"])

    def __str__(self) -> str:
        lines = [f"{self.run.id} {self.run.state} {self.run.status.message}".rstrip()]
        for stage in self.run.stages:
            kept = "" if stage.forgetting is None else f", forgetting {stage.forgetting:+.1%} of {stage.worst_set}"
            lines.append(f"  {stage.name}: {stage.state}, step {stage.step} of {stage.total_steps}{kept}")
        counts = (
            f"{len(self.decisions)} decisions, {len(self.checkpoints)} checkpoints, {len(self.history)} measurements"
        )
        return "\n".join([*lines, f"  {counts}", *(f"  {note}" for note in self.notes)])


class Session:
    """A connection to a server, from `retain.connect`. Safe to share between threads.

    A run is named by its id or by a `Run`; what is returned is a frozen picture of that moment. Every method raises a
    ClientError: BadInput (with every fault in `violations`), Unreachable, RefusedByServer, MissingExtra, or the root
    class for a call that the state of the run forbids (`reason` says why).
    """

    def __init__(self, client: RetainClient) -> None:
        self.client = client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<retain.Session with {self.client.address.orchestrator}>"

    def close(self) -> None:
        """Ends the connection, and every `follow` that is under way."""
        self.client.close()

    # --- runs

    def validate(self, spec: SpecLike, *, changes: Mapping[str, Any] | None = None) -> Plan:
        """What the server would do with a spec, nothing being submitted. Raises BadInput with every fault at once."""
        tree, _ = read(spec, changes)
        plan, faults = self.client.validate(tree)
        if plan is None or faults:
            raise BadInput(faults)
        return plan

    def submit(
        self,
        spec: SpecLike,
        *,
        changes: Mapping[str, Any] | None = None,
        upload: bool | None = None,
        check: bool | None = None,
        request_id: str | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Run:
        """Submits a pipeline and returns its run, PENDING.

        `spec` is a path, the text of a YAML or JSON document, or a dict of the same form. `changes` replaces fields by
        their path: `{"stages.1.learning_rate": 1e-5}`. Local files in it are uploaded to a server on another machine
        (`upload`: always, or never). `check` looks at them first, as `retain validate` does; left out, it is done where
        the packages of the extra `data` are installed. The same `request_id` with the same spec is the same run, so
        that a call may be repeated. `say` gets one line for each upload. Raises BadInput with every fault at once,
        before anything is sent.
        """
        tree, place = read(spec, changes)
        prepared(self.client, tree, place, upload=upload, check=check, say=say)
        return self.client.create_run(tree, request_id=request_id)

    def list_runs(self, *, states: tuple[str, ...] = (), limit: int | None = None) -> list[Run]:
        """Runs, newest first; `states` as in `("RUNNING", "SUSPENDED")`, all of them without."""
        return self.client.list_runs(states=states, limit=limit)

    def get_run(self, run: RunLike) -> Run:
        """The run as it is now."""
        return self.client.get_run(_id(run))

    def follow(
        self, run: RunLike, *, through_suspension: bool = False, timeout_s: float | None = None
    ) -> Iterator[Update]:
        """Every change of a run, with the decisions that came with it, until it has ended or waits for a person.

        The first update is the run as it is, with every decision so far. A lost connection, or a server that is
        restarted, is followed on from the last update: none comes twice and no decision is left out; Unreachable is
        raised only when nobody answers for the session's patience. Leaving the loop leaves the run alone.
        """
        return updates(self.client, _id(run), through_suspension=through_suspension, timeout_s=timeout_s)

    def wait(self, run: RunLike, *, timeout_s: float | None = None) -> Run:
        """The run once it has ended or waits for a person. Raises ClientError (TIMEOUT) after `timeout_s` seconds."""
        last: Run | None = None
        for update in updates(self.client, _id(run), timeout_s=timeout_s):
            last = update.run
        if last is None or not last.is_settled:
            raise _too_late(last or self.get_run(run), timeout_s)
        return last

    def cancel(self, run: RunLike, *, etag: str = "") -> Run:
        """Asks the server to end a run, and returns at once. `etag`: only if it has not changed since."""
        return self.client.cancel(_id(run), etag=etag)

    def stop(self, run: RunLike, *, timeout_s: float | None = 120.0) -> Run:
        """Cancels a run and waits until it has ended; one that has ended already is returned as it is.

        Raises ClientError (TIMEOUT) where it has not ended after `timeout_s` seconds.
        """
        found = self.get_run(run)
        if found.is_terminal:
            return found
        try:
            found = self.client.cancel(found.id)
        except ClientError:
            found = self.get_run(run)
            if not found.is_terminal:  # where it ended by itself meanwhile, there was nothing to cancel
                raise
        if not found.is_terminal:
            for now in self.client.watch(found.id, timeout_s=timeout_s):
                found = now
        if not found.is_terminal:
            raise _too_late(found, timeout_s)
        return found

    def update(self, run: RunLike, changes: Mapping[str, Any], *, etag: str = "") -> Run:
        """Changes what may change of a run's spec, also while it trains: values by path, as in
        `{"forgetting.budget": 0.15, "checkpoints.keep_last": 5, "labels.owner": None}`; None is the default, or no
        label. Raises BadInput for what is fixed when a run is created."""
        return self.client.update(_id(run), changes, etag=etag)

    def approve(self, run: RunLike, action: str, *, etag: str = "", comment: str = "") -> Run:
        """Resumes a SUSPENDED run: `ACCEPT` its checkpoint as it is, or `CONTINUE` with one more retry."""
        return self.client.approve(_id(run), action, etag=etag, comment=comment)

    def retry(self, run: RunLike, *, etag: str = "") -> Run:
        """Resumes a FAILED or CANCELLED run from its last checkpoint."""
        return self.client.retry(_id(run), etag=etag)

    def delete(self, run: RunLike, *, etag: str = "") -> None:
        """Deletes a run that has ended."""
        self.client.delete(_id(run), etag=etag)

    def logs(self, run: RunLike, *, follow: bool = False, **part: Any) -> Iterator[LogText]:
        """Log lines of the run's workers; with `follow` until the run has ended. `last_lines`, `skip_lines`,
        `submission` and `containing` say which alone are wanted."""
        return self.client.logs(_id(run), follow=follow, **part)

    # --- what was measured and decided

    def inspect(self, run: RunLike) -> Inspection:
        """A run with its decisions, checkpoints and measurements; `print` shows it in short."""
        found = self.get_run(run)
        decisions, checkpoints = self.decisions(found), self.checkpoints(found)
        history, notes = list[ForgettingRecord](), []
        try:
            history = self.history(found)
        except Unreachable as error:
            notes.append(f"no measurements: {error.message}")
        return Inspection(
            run=found,
            decisions=tuple(decisions),
            checkpoints=tuple(checkpoints),
            history=tuple(history),
            notes=tuple(notes),
        )

    def decisions(self, run: RunLike) -> list[Decision]:
        """Every decision of the gate or of a person, oldest first, with its evidence."""
        return self.client.decisions(_id(run))

    def history(self, run: RunLike, *, stage: str = "") -> list[ForgettingRecord]:
        """Every measurement of a run, oldest first; `stage` as in `midtrain/code`. The evaluator answers this one."""
        return self.client.history(_id(run), stage=stage)

    def metrics(
        self, run: RunLike, *, names: Sequence[str] = (), stage: str = "", max_points: int = 0
    ) -> list[MetricSeries]:
        """The figures of a run as series, loss to forgetting: `names` as in `("train_loss_nats", "perplexity")`, all of
        them without; up to `max_points` (0: 500) of each, chosen by the server so that the curve looks the same."""
        return self.client.metrics(_id(run), names=names, stage=stage, max_points=max_points)

    def metrics_frame(
        self, run: RunLike, *, names: Sequence[str] = (), stage: str = "", max_points: int = 0
    ) -> "pd.DataFrame":
        """The same as a data frame, a row for each point (see `frames.METRICS`). Raises MissingExtra without pandas."""
        frames.need_pandas("metrics_frame")
        return frames.metrics(_id(run), self.metrics(run, names=names, stage=stage, max_points=max_points))

    def history_frame(self, run: RunLike, *, stage: str = "") -> "pd.DataFrame":
        """The measurements as a data frame: a row for each set of each measured checkpoint (see `frames.HISTORY`).

        Raises MissingExtra without pandas.
        """
        frames.need_pandas("history_frame")
        return frames.history(self.history(run, stage=stage))

    def decisions_frame(self, run: RunLike) -> "pd.DataFrame":
        """The decisions as a data frame, a row each (see `frames.DECISIONS`). Raises MissingExtra without pandas."""
        frames.need_pandas("decisions_frame")
        return frames.decisions(self.decisions(run))

    def checkpoints_frame(self, run: RunLike | None = None) -> "pd.DataFrame":
        """The lineage as a data frame, a row for each checkpoint (see `frames.CHECKPOINTS`), newest first.

        Raises MissingExtra without pandas.
        """
        frames.need_pandas("checkpoints_frame")
        return frames.checkpoints(self.checkpoints(run))

    # --- checkpoints

    def checkpoints(self, run: RunLike | None = None, *, limit: int | None = None) -> list[Checkpoint]:
        """The lineage, newest first: of a run, or of all."""
        return self.client.checkpoints(run_id=_id(run) if run is not None else "", limit=limit)

    def checkpoint(self, checkpoint: str) -> Checkpoint:
        """One checkpoint, by its id, its s3:// URI, or 8 or more digits of its manifest digest."""
        return self.client.checkpoint(checkpoint)

    def download(
        self,
        checkpoint: CheckpointLike,
        folder: str | Path,
        *,
        training_state: bool = False,
        progress: Callable[[int, int], None] = lambda _here, _all: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Path:
        """Writes a checkpoint into a new or empty folder, as Hugging Face tools open it; returns the model's folder.

        README.md is its model card.

        Every file is checked against the SHA-256 of the manifest. The folder appears whole or not at all; after an
        interruption the same call resumes with the bytes that are here, and a second process waits for the first.
        With `training_state` the model stands in `checkpoint-{step}` below `folder`, with optimizer and
        trainer_state.json. `progress` is told (bytes that are here, bytes in all). Raises BadInput for a folder that
        holds something else; ClientError with the reason HASH_DIFFERS, OBJECT_STORE or DISK; Unreachable.
        """
        name = checkpoint.ref.uri if isinstance(checkpoint, Checkpoint) else checkpoint
        _, target = write_export(
            self.client,
            name,
            Path(folder),
            with_training_state=training_state,
            card=lambda row: model_card(self.client, row),
            say=say,
            progress=progress,
        )
        return target

    def evaluate(
        self,
        checkpoint: CheckpointLike,
        file: str | Path,
        *,
        context: int = 0,
        documents: int = 0,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> FileResult:
        """Uploads a file and has the server measure a checkpoint on it: perplexity, bits per byte, their interval.

        `file`: text (one document), or rows (jsonl, csv, parquet), of which `documents` takes the first so many;
        `context`: tokens in a window (0: the model's). `progress` is told (tokens done, tokens in all). What is asked
        twice is measured once. Raises BadInput for a file that cannot be measured.
        """
        found = checkpoint if isinstance(checkpoint, Checkpoint) else self.checkpoint(checkpoint)
        uri = upload(self.client, Path(file))
        return wait_for(
            self.client.evaluate_file(found.ref, uri, context=context, documents=documents),
            lambda one: progress(one.tokens_done, one.tokens),
        )

    def sample(self, checkpoint: CheckpointLike, prompt: str, **options: Any) -> str:
        """Text that continues the prompt; `max_new_tokens`, `temperature`, `top_k`, `seed`, `chat` as `options`."""
        found = checkpoint if isinstance(checkpoint, Checkpoint) else self.checkpoint(checkpoint)
        return "".join(self.client.sample(found.ref, prompt, **options))


def _id(run: RunLike) -> str:
    return run.id if isinstance(run, Run) else run


def _too_late(run: Run, timeout_s: float | None) -> ClientError:
    return ClientError(f"run {run.id} is still {run.state} after {timeout_s} s", reason="TIMEOUT")
