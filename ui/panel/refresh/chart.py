"""A chart that is made once and sent as often as it is asked for."""

import copy
from typing import Any

import altair as alt
import pandas as pd
import pyarrow as pa

TABLES = "retain_tables"  # what Altair calls the way that the data of a chart go here


class KeptChart:
    """A chart whose specification is made once. Altair checks it, row by row of its data, each time it is asked: 0.1 s
    of processor time for a chart, for each tab and change.

    Its data go beside the specification, as columns: a browser that has the chart already takes the new rows into it,
    where it would make another chart of another specification.
    """

    def __init__(self, drawn: Any) -> None:
        self._drawn = drawn
        self._spec: dict[str, Any] | None = None
        self._tables: dict[str, bytes] = {}

    def to_dict(self) -> dict[str, Any]:
        """As the chart's own, with its tables as Arrow streams (`datasets`); the caller may change what it gets."""
        if self._spec is None:
            with alt.data_transformers.enable(TABLES, tables=self._tables):
                self._spec = self._drawn.to_dict()
        spec = copy.deepcopy(self._spec)
        return {**spec, "datasets": {**spec.get("datasets", {}), **self._tables}} if self._tables else spec


def _as_table(data: pd.DataFrame, tables: dict[str, bytes]) -> dict[str, str]:
    """Puts the data of a chart, or of a layer of it, among the tables. Returns the name they have there."""
    stream = arrow_stream(data)
    name = next((name for name, known in tables.items() if known == stream), f"table_{len(tables)}")
    tables[name] = stream
    return {"name": name}


def arrow_stream(data: pd.DataFrame) -> bytes:
    """Rows as an Arrow stream. What is no finite number is null, as it is in JSON."""
    finite = data.replace([float("inf"), float("-inf")], None)
    table = pa.Table.from_pandas(finite, preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


alt.data_transformers.register(TABLES, _as_table)
