"""A floor of another model of the same shape is no finer than the numbers at a baseline's own loss."""

from services.evaluator.domain.result import NoiseFloor


def test_the_spacing_is_that_of_the_baselines_own_loss() -> None:
    # float32 at 2 <= x < 4 has steps of 2 ** -22, at 8 <= x < 16 of 2 ** -20
    floor = NoiseFloor(nats=2.0**-22, repeats=4, tokens=2048)
    assert floor.at_loss(3.78) == floor
    assert floor.at_loss(10.9).nats == 2.0**-20
    assert floor.at_loss(0.75) == floor  # never finer than what was seen


def test_a_coarse_device_keeps_its_floor() -> None:
    floor = NoiseFloor(nats=1e-3, repeats=4, tokens=2048)
    assert floor.at_loss(10.9) == floor
