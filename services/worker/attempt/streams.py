"""The stream of batches of a stage, as a spec asks for it: opened alike by the worker that trains and by the one that
counts beforehand how many steps the stage's epochs take."""

from collections.abc import Callable, Mapping

from model.data.shards import TokenShard
from model.dataloader.batch_stream import BatchStream
from model.dataloader.passes import Passes, count_passes, count_steps
from retain.types.v1 import spec_pb2
from services.worker.attempt import convert

# Counting is told to people only where nothing depends on it, so it may not take long (a few seconds).
MOST_ROWS_TO_TELL = 300_000


def open_stream(
    spec: spec_pb2.PipelineSpec,
    index: int,
    shards: Mapping[str, TokenShard],
    *,
    target: str,
    shares: Mapping[str, float],
    context: int,
    curriculum: bool = True,
) -> BatchStream:
    """The stream of a stage; without its curriculum, in random order over the whole data."""
    stage = spec.stages[index]
    return BatchStream(
        shards,
        target=target,
        shares=dict(shares),
        seed=convert.stream_seed(spec, index),
        context=context,
        rows=convert.rows(stage),
        curriculum=convert.curriculum(stage) if curriculum else None,
        epochs=convert.epochs(stage),
    )


def measure_length(
    spec: spec_pb2.PipelineSpec,
    index: int,
    shards: Mapping[str, TokenShard],
    *,
    target: str,
    shares: Mapping[str, float],
    beat: Callable[[], None] = lambda: None,
) -> tuple[int, Passes | None]:
    """(steps that the stage's epochs take, how often the target's documents come); 0 steps without epochs, None where
    only the training can tell.

    An epoch of a curriculum that shows some documents more often than others has the steps of one in random order.
    """
    stage, context = spec.stages[index], spec.model.context

    def stream(*, curriculum: bool) -> BatchStream:
        return open_stream(spec, index, shards, target=target, shares=shares, context=context, curriculum=curriculum)

    whole = stream(curriculum=True)
    if whole.epochs is not None:
        return count_steps(whole, beat=beat)
    if stage.duration.WhichOneof("amount") == "epochs":
        steps = made = count_steps(stream(curriculum=False), beat=beat)[0]
    else:
        steps = stage.duration.steps or -(-stage.duration.tokens // (context * whole.rows))
        made = 0
    return made, count_passes(whole, steps, most_rows=MOST_ROWS_TO_TELL, beat=beat) if steps else None
