"""Metrics are registered under the names and labels that dashboards and alerts read, and end with their run."""

import math

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from services.common.metrics import (
    ALL,
    EvaluatorMetrics,
    GrpcMetrics,
    OrchestratorMetrics,
    RunSeries,
    finite_or_infinite,
)


def test_the_groups_share_one_registry_and_no_name_occurs_twice():
    registry = CollectorRegistry()
    for group in (EvaluatorMetrics, OrchestratorMetrics, GrpcMetrics):
        group(registry)
    names = [metric.name for metric in ALL]
    assert len(names) == len(set(names))
    with pytest.raises(ValueError, match="Duplicated"):
        EvaluatorMetrics(registry)


def test_a_gauge_appears_with_its_labels_and_counters_keep_one_total_suffix():
    registry = CollectorRegistry()
    evaluator, orchestrator = EvaluatorMetrics(registry), OrchestratorMetrics(registry)
    evaluator.forgetting_ratio.labels(run="r1", stage="midtrain/code", retention_set="general").set(0.125)
    orchestrator.train_tokens.labels(run="r1", stage="pretrain").inc(4096)
    text = generate_latest(registry).decode()
    assert 'retain_forgetting_ratio{retention_set="general",run="r1",stage="midtrain/code"} 0.125' in text
    assert 'retain_train_tokens_total{run="r1",stage="pretrain"} 4096.0' in text
    assert "_created" not in text


def test_series_of_a_run_outlive_it_for_the_kept_time_only():
    registry = CollectorRegistry()
    metrics = OrchestratorMetrics(registry)
    for run in ("old", "new"):
        metrics.train_loss_nats.labels(run=run, stage="pretrain").set(3.0)
    metrics.decisions.labels(decision="CONTINUE").inc()
    series = RunSeries(metrics, kept_s=600)
    series.ended("old", now_s=1000)
    series.ended("old", now_s=1500)  # said again: the first time counts
    assert list(series.sweep(now_s=1599)) == []
    assert 'run="old"' in generate_latest(registry).decode()
    assert list(series.sweep(now_s=1600)) == ["old"]
    text = generate_latest(registry).decode()
    assert 'run="old"' not in text
    assert 'run="new"' in text
    assert 'retain_decisions_total{decision="CONTINUE"} 1.0' in text


def test_a_retried_run_keeps_its_series():
    metrics = OrchestratorMetrics(CollectorRegistry())
    series = RunSeries(metrics, kept_s=10)
    series.ended("r", now_s=0)
    series.resumed("r")
    assert list(series.sweep(now_s=100)) == []


def test_an_unknown_metric_is_an_error_that_names_the_known():
    with pytest.raises(AttributeError, match="forgetting_ratio"):
        EvaluatorMetrics(CollectorRegistry()).forgeting_ratio  # noqa: B018


def test_not_a_number_crosses_every_threshold():
    assert finite_or_infinite(math.nan) >= 0.20
    assert finite_or_infinite(-math.inf) >= 0.20
    assert finite_or_infinite(-0.01) == -0.01
