"""Charts that are made once, and what of them is sent."""

import json
from typing import Any

import altair as alt
import pandas as pd
import pyarrow as pa

from ui.panel.refresh.chart import KeptChart


def test_a_chart_that_is_drawn_again_is_not_made_again() -> None:
    class Asked:
        times = 0

        def to_dict(self) -> dict[str, object]:
            self.times += 1
            return {"data": {"values": [1]}}

    asked = Asked()
    kept = KeptChart(asked)
    kept.to_dict()["data"]["values"].append(2)
    assert (kept.to_dict(), asked.times) == ({"data": {"values": [1]}}, 1)


def tables(spec: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {name: pa.ipc.open_stream(stream).read_all().to_pylist() for name, stream in spec["datasets"].items()}


def chart(rows: list[dict[str, Any]]) -> alt.LayerChart:
    base = alt.Chart(pd.DataFrame(rows)).encode(x="x:Q", y="y:Q")
    return alt.layer(base.mark_line(), base.mark_point(), alt.Chart(pd.DataFrame({"z": [7]})).mark_rule())


def test_other_rows_leave_the_specification_as_it_is() -> None:
    rows = [{"x": 1, "y": 2.5, "of": "a"}, {"x": 2, "y": float("inf"), "of": None}]
    first, second = KeptChart(chart(rows)).to_dict(), KeptChart(chart(rows[:1])).to_dict()
    shown = {"x": 2, "y": None, "of": None}
    assert sorted(tables(first).values(), key=len) == [[{"z": 7}], [rows[0], shown]]
    assert tables(first).keys() == tables(second).keys()
    assert first.pop("datasets") != second.pop("datasets")
    assert json.dumps(first) == json.dumps(second), "a browser keeps the chart that it has, and takes the rows into it"
