"""The schedules of a stage as the server's plan has them: its learning rate, and its curriculum."""

import streamlit as st

from ui.client import ClientError
from ui.client.views import Plan
from ui.panel.learn.figures import figure
from ui.panel.learn.pieces import line
from ui.panel.shared import show_error


def schedules(number: int, plan: Plan | None) -> None:
    """Both over the stage, where they are wanted. Defaults are the plan's, so nothing is drawn while there is none."""
    if plan is None or number >= len(plan.spec.stages) or not plan.spec.stages[number].schedule.kind:
        return
    if not st.toggle("Show its schedules", key=f"schedules:{number}"):
        return
    stage = plan.spec.stages[number]
    shape = stage.schedule
    shares = (str(one) for one in (shape.warmup, shape.floor, shape.decay))
    try:
        factors = figure("rates", str(shape.kind), *shares)["factors"]
        rates = [stage.learning_rate * factor for factor in factors]
        line({"rate": rates}, [n / len(rates) for n in range(len(rates))], "Part of the stage", "Learning rate")
        if stage.curriculum.strategy:
            found = figure("curriculum", str(stage.curriculum.strategy), str(stage.curriculum.levels or 3))
            staged = bool(found["lengths"])
            values, up = (found["level"], "Level") if staged else (found["open"], "Part of the data that is open")
            line({"curriculum": values}, found["progress"], "Part of the stage", up)
    except ClientError as error:
        show_error(error)
