"""Figures of the live pieces, each asked of `model.cli.figures` in a process of its own and kept."""

import json
import subprocess
import sys
from typing import Any

import streamlit as st

from retain.values import Severity
from retain.values.recommendations import recommendations
from retain.values.thresholds import ACTION, MINOR, STOP, Thresholds
from ui.client import ClientError

LIMIT_S = 30.0
KEPT = 256
DEFAULT_THRESHOLDS = Thresholds(minor=MINOR, action=ACTION, stop=STOP)


@st.cache_data(max_entries=KEPT, show_spinner=False)
def figure(*asked: str) -> dict[str, Any]:
    """The answer of `python -m model.cli.figures`. Raises ClientError with its words."""
    command = [sys.executable, "-P", "-m", "model.cli.figures", *asked]  # -P: no folder here shadows the module
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise ClientError(f"no figure within {LIMIT_S:g} s", reason="FIGURE_TOO_SLOW") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise ClientError(said.removeprefix("error: "), reason="NO_FIGURE")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def score_told(
    baseline: float, now: float, thresholds: Thresholds = DEFAULT_THRESHOLDS
) -> tuple[float, Severity, tuple[str, ...]]:
    """(the score, its severity, what people are told to do) of two perplexities above 0."""
    ratio = (now - baseline) / baseline
    severity = thresholds.severity(ratio)
    doubted = ratio if ratio < thresholds.suspicious_below else None
    return ratio, severity, recommendations(severity, thresholds, doubted=doubted)
