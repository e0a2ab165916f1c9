"""The three trackers, each over its own package, imported when it is asked for:

mlflow:URI[#EXPERIMENT]   MLflow (extra `mlflow`); URI as MLflow has it: http://..., sqlite:///..., or nothing, which is
                          MLFLOW_TRACKING_URI; the experiment is `retain` unless it is named
wandb:PROJECT             Weights & Biases (extra `wandb`); its own environment says key, server and mode
                          (WANDB_MODE=offline writes into WANDB_DIR or this folder, `wandb sync` sends it later)
tensorboard:DIR           event files in DIR/RUN (extra `tensorboard`)
"""

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from retain.values.faults import mismatch
from ui.client.errors import BadInput, MissingExtra, Violation
from ui.extras import require
from ui.tracking.port import Facts, Identity, Point, Tracker, TrackerAway
from ui.tracking.wandb_file import offline_rows

_LONGEST = 500  # characters of a parameter's or tag's value: what every version of MLflow takes
_BATCH = 500


class MlflowTracker(Tracker):
    """A run of MLflow, found again by its tag `retain.run`."""

    def __init__(self, place: str) -> None:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        uri, _, experiment = place.partition("#")
        self._place, self._experiment = uri or os.environ.get("MLFLOW_TRACKING_URI", ""), experiment or "retain"
        self._faults = (MlflowException, OSError)
        self._client: Any = MlflowClient(tracking_uri=self._place or None)
        self._id = ""

    def open(self, facts: Facts) -> str:
        def find() -> str:
            found = self._client.get_experiment_by_name(self._experiment)
            number = found.experiment_id if found else self._client.create_experiment(self._experiment)
            rows = self._client.search_runs([number], f"tags.`retain.run` = '{facts.run_id}'", max_results=1)
            if rows:
                return str(rows[0].info.run_id)
            tags = {"retain.run": facts.run_id, "mlflow.source.name": "retain", "mlflow.source.type": "JOB"}
            return str(self._client.create_run(number, run_name=facts.name, tags=tags).info.run_id)

        self._id = self._tried(find)
        return f"MLflow, experiment {self._experiment}, run {self._id}"

    def known(self) -> set[Identity]:
        def read() -> set[Identity]:
            keys = self._client.get_run(self._id).data.metrics
            rows = (row for key in keys for row in self._client.get_metric_history(self._id, key))
            return {(row.key, row.step, row.timestamp) for row in rows}

        found: set[Identity] = self._tried(read)
        return found

    def log(self, points: Iterable[Point]) -> None:
        from mlflow.entities import Metric

        rows = (Metric(key, point.value, ms, step) for point in points for key, step, ms in (point.identity,))
        while batch := list(islice(rows, _BATCH)):
            self._tried(self._client.log_batch, self._id, metrics=batch)

    def describe(self, facts: Facts) -> None:
        """A parameter cannot change in MLflow: what changes of a spec while a run trains becomes a tag."""
        from mlflow.entities import Param, RunTag

        known = self._tried(lambda: self._client.get_run(self._id).data)
        texts = {key: text[:_LONGEST] for key, text in facts.parameters.items()}
        new = [Param(key, text) for key, text in texts.items() if key not in known.params]
        tags = dict(facts.tags) | {f"decision.{note.number:04d}": note.text for note in facts.notes}
        tags |= {f"checkpoint.{stage}": uri for stage, uri in facts.checkpoints.items()}
        tags |= {f"changed.{key}": text for key, text in texts.items() if known.params.get(key, text) != text}
        if facts.notes:
            tags["mlflow.note.content"] = "\n\n".join(note.text for note in facts.notes[-20:])
        cut = {key: text[: 8 * _LONGEST] for key, text in tags.items()}
        said = [RunTag(key, text) for key, text in cut.items() if known.tags.get(key) != text]
        for start in range(0, max(len(new), len(said)), 100):
            part = {"params": new[start : start + 100], "tags": said[start : start + 100]}
            self._tried(self._client.log_batch, self._id, **part)

    def close(self, *, succeeded: bool | None) -> None:
        if succeeded is not None:
            self._tried(lambda: self._client.set_terminated(self._id, "FINISHED" if succeeded else "FAILED"))

    def _tried(self, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        try:
            return call(*given, **named)
        except self._faults as error:
            raise TrackerAway(f"MLflow at {self._place or 'its default place'}: {error}") from error


class WandbTracker(Tracker):
    """A run of Weights & Biases with the pipeline run's own id. Its own step only counts rows: `step` is a figure of
    each row, so that what a stage does again after a rollback is kept."""

    def __init__(self, place: str) -> None:
        import wandb

        self._wandb: Any = wandb
        self._project = place or "retain"
        self._run: Any = None
        self._id = ""

    def open(self, facts: Facts) -> str:
        self._id = facts.run_id

        def begin() -> Any:
            if self._run is not None:
                self._run.finish()
            return self._wandb.init(
                project=self._project,
                id=facts.run_id,
                name=facts.name,
                resume="allow",
                config=dict(facts.parameters),
                tags=[f"{key.removeprefix('label.')}={text}"[:64] for key, text in facts.tags.items()
                      if key.startswith("label.")],
                settings=self._wandb.Settings(console="off", silent=True),
            )  # fmt: skip

        self._run = self._tried(begin)
        self._run.define_metric("*", step_metric="step")
        return f"Weights & Biases, project {self._project}, {self._run.url or self._run.dir}"

    def known(self) -> set[Identity]:
        if self._run.offline:
            rows = list(offline_rows(Path(self._run.dir).parent.parent, self._id))
        else:
            path = f"{self._run.entity}/{self._run.project}/{self._id}"
            rows = self._tried(lambda: list(self._wandb.Api().run(path).scan_history()))
        return {
            (key, int(row["step"]), round(1000 * row["time_s"]))
            for row in rows
            if "step" in row and "time_s" in row
            for key in row
            if not key.startswith("_") and key not in ("step", "time_s")
        }

    def log(self, points: Iterable[Point]) -> None:
        for (step, time_s), same in groupby(points, key=lambda point: (point.step, point.time_s)):
            row = {point.key: point.value for point in same}
            self._tried(self._run.log, row | {"step": step, "time_s": time_s})

    def describe(self, facts: Facts) -> None:
        def say() -> None:
            self._run.config.update(dict(facts.parameters), allow_val_change=True)
            self._run.notes = "\n".join(note.text for note in facts.notes)
            said = dict(facts.tags) | {f"decision.{note.number:04d}": note.text for note in facts.notes}
            self._run.summary.update(said | {f"checkpoint.{stage}": uri for stage, uri in facts.checkpoints.items()})

        self._tried(say)

    def close(self, *, succeeded: bool | None) -> None:
        self._tried(lambda: self._run.finish(exit_code=0 if succeeded is not False else 1))

    def _tried(self, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        try:
            return call(*given, **named)
        except (self._wandb.Error, OSError) as error:
            raise TrackerAway(f"Weights & Biases: {error}") from error


class TensorboardTracker(Tracker):
    """Event files in a folder of the run's own; texts (spec, decisions, checkpoints) are written again once they
    change."""

    def __init__(self, place: str) -> None:
        import tensorboard.compat.proto.event_pb2 as events
        from tensorboard.backend.event_processing import event_accumulator
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._events: Any = events
        self._read, self._write = event_accumulator.EventAccumulator, EventFileWriter
        self._root, self._folder = Path(place), Path(place)
        self._writer: Any = None
        self._texts: dict[str, str] = {}

    def open(self, facts: Facts) -> str:
        self._folder = self._root / facts.run_id
        self._tried(lambda: self._folder.mkdir(parents=True, exist_ok=True))
        return f"TensorBoard, {self._folder}"

    def known(self) -> set[Identity]:
        def read() -> set[Identity]:
            found = self._read(str(self._folder), size_guidance={"scalars": 0, "tensors": 0})
            found.Reload()
            tags = found.Tags()
            self._texts = {tag: found.Tensors(tag)[-1].tensor_proto.string_val[0].decode() for tag in tags["tensors"]}
            return {
                (tag, row.step, round(1000 * row.wall_time)) for tag in tags["scalars"] for row in found.Scalars(tag)
            }

        known: set[Identity] = self._tried(read)
        if self._writer is None:
            self._writer = self._tried(lambda: self._write(str(self._folder)))
        return known

    def log(self, points: Iterable[Point]) -> None:
        for point in points:
            event = self._events.Event(wall_time=point.time_s, step=point.step)
            event.summary.value.add(tag=point.key, simple_value=point.value)
            self._tried(self._writer.add_event, event)
        self._tried(self._writer.flush)

    def describe(self, facts: Facts) -> None:
        last = facts.notes[-1] if facts.notes else None
        texts = {
            "spec": _rows(facts.parameters),
            "tags": _rows(facts.tags),
            "checkpoints": _rows(facts.checkpoints),
            "decisions": "\n\n".join(note.text for note in facts.notes),
        }
        for tag, text in texts.items():
            if text and self._texts.get(tag) != text:
                event = self._events.Event(wall_time=last.time_s if last else 0.0, step=last.step if last else 0)
                value = event.summary.value.add(tag=tag)
                value.metadata.plugin_data.plugin_name = "text"
                value.tensor.dtype = 7  # DT_STRING
                value.tensor.tensor_shape.dim.add(size=1)
                value.tensor.string_val.append(text.encode())
                self._tried(self._writer.add_event, event)
                self._texts[tag] = text
        self._tried(self._writer.flush)

    def close(self, *, succeeded: bool | None) -> None:
        self._tried(self._writer.close)

    def _tried(self, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        try:
            return call(*given, **named)
        except OSError as error:
            raise TrackerAway(f"TensorBoard in {self._folder}: {error}") from error


def _rows(texts: Mapping[str, str]) -> str:
    """A table in Markdown, as TensorBoard shows texts."""
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {text} |" for key, text in texts.items())]) if texts else ""


_BACKENDS: Mapping[str, Callable[[str], Tracker]] = {
    "mlflow": MlflowTracker,
    "wandb": WandbTracker,
    "tensorboard": TensorboardTracker,
}


def tracker_at(target: str) -> Tracker:
    """The tracker of a target like those above. Raises BadInput for another one, MissingExtra where the package is not
    installed."""
    name, colon, place = target.partition(":")
    if name not in _BACKENDS or not colon or (name == "tensorboard" and not place):
        expected = "mlflow:URI[#EXPERIMENT], wandb:PROJECT or tensorboard:DIR"
        raise BadInput([Violation(field="--to", description=mismatch(repr(target), expected))])
    require(f"retain track --to {name}:", name)
    try:
        return _BACKENDS[name](place)
    except ImportError as error:  # code that runs without being installed tells `require` nothing
        said = f"retain track --to {name}: {error}; `pip install 'retain[{name}]'` brings it"
        raise MissingExtra(said, reason="MISSING_EXTRA") from error
