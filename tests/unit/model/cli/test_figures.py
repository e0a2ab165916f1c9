"""The figures of the guides' live pieces are those of what trains."""

import json

import pytest

from model.cli.figures import curriculum, main, mixture, rates


def test_the_rate_warms_up_stays_and_decays() -> None:
    factors = rates("WSD", "0.1", "0", "0.2")["factors"]
    assert factors[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert factors[10:80] == [1.0] * 70
    assert factors[-1] == pytest.approx(1 / 20)
    assert rates("CONSTANT", "0")["mean"] == 1.0


def test_three_levels_last_30_30_40_per_cent_and_competence_grows_with_the_square_root() -> None:
    staged = curriculum("STAGED")
    assert staged["lengths"] == [0.3, 0.3, 0.4]
    assert [staged["level"][step] for step in (0, 29, 30, 59, 60, 99)] == [1, 1, 2, 2, 3, 3]
    opened = curriculum("COMPETENCE")["open"]
    assert opened[35] == pytest.approx((0.5 * (1 - 1e-4) + 1e-4) ** 0.5)  # half of the 70 % over which it grows
    assert opened[70] == 1.0


def test_error_diffusion_meets_a_share_of_tokens_where_lots_by_rows_do_not() -> None:
    found = mixture("0.1", "64")
    tokens = 200 * 256
    assert abs(found["diffused"][-1] - 0.1) < 256 / tokens * 2  # within one row
    by_rows = 0.1 * 64 / (0.1 * 64 + 0.9 * 256)
    assert abs(found["drawn"][-1] - by_rows) < 0.02
    assert mixture("0")["diffused"][-1] == 0


@pytest.mark.parametrize(
    "asked",
    [[], ["none"], ["rates"], ["rates", "UP"], ["rates", "WSD", "x"], ["rates", "WSD", "0.9", "0", "0.9"],
     ["mixture", "1.5"], ["interpolation", "2"],
     ["interpolation", "nan"], ["mixture", "nan"], ["mixture", "0.1", "0"], ["curriculum", "STAGED", "1e9"]],
)  # fmt: skip
def test_what_is_no_question_is_bad_input(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(asked) == 2
    assert "expected" in capsys.readouterr().err


def test_an_answer_is_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mixture", "0.25", "128"]) == 0
    assert json.loads(capsys.readouterr().out)["share"] == 0.25
