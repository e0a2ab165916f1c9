"""The dashboards, built with typed builders: classic JSON that Grafana 11 to 13 read from files."""

import json
from typing import Any

from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

from deploy.monitoring.alerts import Parameters
from deploy.monitoring.boards import forgetting, pipelines, services, training
from deploy.monitoring.charts import GREEN, ORANGE, Board, Chart
from deploy.monitoring.rules import DATASOURCE
from services.common import metrics

SOURCE = common.DataSourceRef(type_val="prometheus", uid=DATASOURCE)
HEIGHT, WIDTH = 8, 12


def boards(parameters: Parameters) -> tuple[Board, ...]:
    """Every dashboard of Retain."""
    return (pipelines(), forgetting(parameters), training(), services())


def dashboard_json(board: Board) -> dict[str, Any]:
    """The dashboard as Grafana stores it."""
    builder = (
        build.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags(["retain"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .readonly()
        .annotation(_decisions())
        .link(
            build.DashboardLink("Retain").type(models.DashboardLinkType.DASHBOARDS).tags(["retain"]).as_dropdown(True)
        )
    )
    if board.by_run:
        builder = builder.with_variable(_run_variable())
    for chart in board.charts:
        builder = builder.with_panel(_panel(chart))
    result: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(builder.build()))
    return result


def _decisions() -> build.AnnotationQuery:
    """What the gate decided, drawn over every chart: the orchestrator writes these annotations with the tag."""
    # Any: the library's stub of `target` names queries only, its code takes targets of annotations.
    target: Any = build.AnnotationTarget().limit(200).match_any(True).tags(["retain-decision"]).type("tags")
    grafana = common.DataSourceRef(type_val="grafana", uid="-- Grafana --")
    return build.AnnotationQuery().name("Decisions").datasource(grafana).enable(True).icon_color(ORANGE).target(target)


def _run_variable() -> build.QueryVariable:
    query = f"label_values({metrics.STAGE_RUNNING.name}, run)"
    return (
        build.QueryVariable("run")
        .label("Run")
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.NATURAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _panel(chart: Chart) -> Any:
    panel: Any = stat.Panel() if chart.number else timeseries.Panel()
    panel = panel.title(chart.title).description(chart.about).unit(chart.unit).datasource(SOURCE)
    panel = panel.height(HEIGHT).span(24 if chart.wide else WIDTH)
    for index, curve in enumerate(chart.curves):
        query = prometheus.Dataquery().expr(curve.expr).legend_format(curve.legend).ref_id(chr(ord("A") + index))
        panel = panel.with_target(query.instant() if chart.number else query.range())
    if chart.bands or chart.base != GREEN:
        steps = [models.Threshold(value=value, color=color) for value, color in ((None, chart.base), *chart.bands)]
        thresholds = build.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
        panel = panel.thresholds(thresholds)
    if not chart.number:
        panel = panel.line_width(2).span_nulls(True).show_points(common.VisibilityMode.AUTO)
        if chart.bands:
            area = common.GraphThresholdsStyleMode.LINE_AND_AREA
            panel = panel.thresholds_style(parts.GraphThresholdsStyleConfig().mode(area))
        if chart.logarithmic:
            panel = panel.scale_distribution(parts.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10))
    return panel
