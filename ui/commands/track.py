"""`retain track`: a run in MLflow, Weights & Biases or TensorBoard."""

from typing import Annotated

import typer

from ui.client import connect
from ui.client.errors import ClientError
from ui.commands.output import RunArgument, say


def track(
    run_id: RunArgument,
    to: Annotated[
        str,
        typer.Option(metavar="TARGET", help="mlflow:URI[#EXPERIMENT], wandb:PROJECT or tensorboard:DIR."),
    ],
    once: Annotated[bool, typer.Option("--once", help="Hand on what there is, and end.")] = False,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How often to look.")] = 10.0,
) -> None:
    """Hand a run's figures, spec and decisions on to a tracker until it ends. Again, or later: nothing comes twice."""
    from ui.tracking.backends import tracker_at
    from ui.tracking.follow import Follower
    from ui.tracking.port import TrackerAway

    tracker = tracker_at(to)
    with connect() as client:
        follower = Follower(client, tracker, say=say)
        try:
            run = follower.follow(run_id, every_s=every, once=once)
        except TrackerAway as error:
            raise ClientError(str(error), reason="TRACKER_AWAY") from error
        except KeyboardInterrupt:
            say("stopped following; the run continues, and the same command goes on from here")
            return
    say(f"{follower.sent} points were sent; the run is {run.state}")


def register(app: typer.Typer) -> None:
    """Adds the verb of this file."""
    app.command(rich_help_panel="Runs")(track)
