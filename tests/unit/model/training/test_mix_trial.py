"""Mixes between two short runs with adapters: the ends are the runs, and a mix of changes is a mix of weights."""

import pytest
import torch

from model.errors import BadConfig
from model.nn.llama import Llama
from model.nn.lora import add_lora
from model.training.acceleration import Acceleration
from model.training.job import Interruption
from model.training.mix_trial import MixTrial, TrialInterrupted, mixes, simulated
from tests.unit.model.training_helpers import SyntheticStream, fresh_model

TRIAL = MixTrial(steps=3, learning_rate=1e-2, rank=2)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict(model.named_parameters())


def both(trial: MixTrial = TRIAL) -> tuple[Llama, Llama]:
    ends = simulated(fresh_model, SyntheticStream(seed=1), SyntheticStream(seed=2), trial)
    assert ends is not None
    return ends


def test_a_share_is_that_mix_of_the_two_changes_and_the_start_is_untouched() -> None:
    target, old = both()
    start = weights(fresh_model())
    changed = [name for name, weight in weights(target).items() if not torch.equal(weight, start[name])]
    assert changed
    assert all("proj" in name for name in changed), "adapters change the matrices of the layers alone"
    ((share, mixed),) = mixes((target, old), (0.25,))
    assert share == 0.25
    for name, weight in weights(mixed).items():
        change = 0.75 * (weights(target)[name] - start[name]) + 0.25 * (weights(old)[name] - start[name])
        torch.testing.assert_close(weight, start[name] + change, atol=1e-6, rtol=1e-5)


def test_the_same_seeds_give_the_same_bits() -> None:
    for first, second in zip(both(), both(), strict=True):
        pairs = zip(first.parameters(), second.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("why", [Interruption.LEAVE, Interruption.FENCED])
def test_who_is_interrupted_has_chosen_nothing(why: Interruption) -> None:
    trial = MixTrial(steps=3, learning_rate=1e-2, rank=2, interrupted=lambda: why)
    with pytest.raises(TrialInterrupted) as told:
        both(trial)
    assert told.value.why is why


def test_where_no_adapters_can_be_put_is_refused() -> None:
    with pytest.raises(BadConfig, match="without room for adapters"):
        simulated(lambda: add_lora(fresh_model(), rank=2), SyntheticStream(), SyntheticStream(), TRIAL)
    with pytest.raises(BadConfig, match="not sharded"):
        MixTrial(steps=3, learning_rate=1e-2, acceleration=Acceleration(sharded=True))
    with pytest.raises(BadConfig, match="a positive number"):
        MixTrial(steps=0, learning_rate=1e-2)
