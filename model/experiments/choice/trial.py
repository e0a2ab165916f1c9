"""A trial of mixes before an arm's stage, on the arm's own text and control sets (model/training/mix_trial.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from model.dataloader.batch_stream import BatchStream
from model.experiments.arms import Arm
from model.experiments.corpora import Corpus
from model.experiments.gate import Trial, Tried
from model.experiments.measuring import CONTROL, Ruler
from model.nn.causal_lm import CausalLM
from model.training.mix_trial import MixTrial, mixes, simulated


def try_mixes(
    trial: Trial, arm: Arm, start: Callable[[], CausalLM], ruler: Ruler, corpora: Mapping[str, Corpus]
) -> tuple[list[Tried], int]:
    """Each share of the trial as it was measured on the control sets, and the tokens that both short runs read."""
    settings = MixTrial(
        steps=trial.steps, learning_rate=trial.learning_rate, rank=trial.rank, seed=arm.seed, micro_rows=arm.rows
    )
    shares = {name: share for name, share in arm.shares.items() if share > 0}
    first, *rest = shares

    def stream(target: str, *others: str) -> BatchStream:
        return BatchStream(
            {name: corpora[name].shard for name in (target, *others)},
            target=target,
            shares={name: shares[name] / sum(shares.values()) for name in others},
            seed=arm.seed,
            context=arm.context,
            rows=arm.rows,
        )

    before = {one.name: one.loss_nats for one in ruler.measure(start(), CONTROL)}
    ends = simulated(start, stream(arm.domain), stream(first, *rest), settings)
    assert ends is not None, "one process is the first rank"
    tried = []
    for share, model in mixes(ends, trial.shares):
        found = {one.name: one.loss_nats for one in ruler.measure(model, CONTROL)}
        forgotten = {name: found[name] - before[name] for name in shares}
        tried.append(Tried(share=share, target_nats=found[arm.domain], forgetting_nats=forgotten))
    return tried, 2 * trial.steps * arm.rows * arm.context
