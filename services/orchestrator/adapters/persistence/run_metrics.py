"""The figures of runs as rows: written with the state that they belong to, read as the points of a stage."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from services.orchestrator.adapters.records import Records, upsert
from services.orchestrator.adapters.tables import metric_points
from services.orchestrator.domain.metrics.points import Bucket, Point, Slot, with_report
from services.orchestrator.domain.run.commands import RecordPoint

_KEY = "run_id,stage_index,bucket,slot"


class MetricRecords(Records):
    """A part of the repository; adapters/repository.py adds the runs."""

    def list_points(self, run_id: str) -> tuple[tuple[int, Point], ...]:
        """See the port."""
        query = sa.select(metric_points).where(metric_points.c.run_id == run_id)
        with self._begin() as connection:
            rows = connection.execute(query.order_by(metric_points.c.stage_index, metric_points.c.step)).all()
        return tuple((row.stage_index, _point(row)) for row in rows)

    def _put_point(self, connection: sa.Connection, run_id: str, record: RecordPoint) -> None:
        changes: Mapping[Slot, Point | None] = {Slot.BOUNDARY: record.point}
        if not record.of_boundary:
            changes = with_report(self._bucket(connection, run_id, record), record.point)
        key = {"run_id": run_id, "stage_index": record.stage_index, "bucket": record.bucket}
        for slot, point in changes.items():
            if point is None:
                where = [metric_points.c[name] == value for name, value in {**key, "slot": int(slot)}.items()]
                connection.execute(metric_points.delete().where(*where))
                continue
            row = {
                "attempt": point.attempt,
                "step": point.step,
                "tokens": point.tokens,
                "time_s": point.time_s,
                "figures": json.dumps(dict(point.values), separators=(",", ":")),
            }
            upsert(connection, metric_points, {**key, "slot": int(slot), **row}, key=_KEY)

    def _bucket(self, connection: sa.Connection, run_id: str, record: RecordPoint) -> Bucket:
        query = sa.select(metric_points).where(
            metric_points.c.run_id == run_id,
            metric_points.c.stage_index == record.stage_index,
            metric_points.c.bucket == record.bucket,
        )
        stored = {Slot(row.slot).name.lower(): _point(row) for row in connection.execute(query)}
        return Bucket(**stored)


def _point(row: Any) -> Point:
    return Point(
        attempt=row.attempt, step=row.step, tokens=row.tokens, time_s=row.time_s, values=json.loads(row.figures)
    )
