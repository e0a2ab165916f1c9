"""Sizes: published parameter counts, and faults named by their field."""

import pytest

from model.errors import BadConfig
from model.nn.config import PRESETS, ModelConfig, RopeScaling, main, preset
from model.nn.llama import Llama


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("135m", 134_515_008),  # HuggingFaceTB/SmolLM2-135M
        ("360m", 361_821_120),  # HuggingFaceTB/SmolLM2-360M
        ("1b", 1_235_814_400),  # meta-llama/Llama-3.2-1B
        ("7b", 6_738_415_616),  # meta-llama/Llama-2-7b
    ],
)
def test_presets_have_the_published_parameter_counts(name: str, published: int) -> None:
    assert preset(name).parameter_count() == published


def test_nano_is_about_a_million_and_counted_right() -> None:
    config = preset("nano")
    assert (config.vocab_size, config.context) == (4096, 256)
    assert 0.9e6 < config.parameter_count() < 1.3e6
    assert Llama(config).num_parameters() == config.parameter_count()


def test_the_benchmark_size_is_a_preset() -> None:
    small = preset("small")
    sizes = (small.layers, small.width, small.heads, small.context, small.vocab_size)
    assert sizes == (6, 384, 6, 256, 4096)


def test_a_preset_takes_vocabulary_context_and_any_other_field() -> None:
    config = preset("nano", vocab_size=512, context=128, kv_heads=1)
    assert (config.vocab_size, config.context, config.kv_heads, config.layers) == (512, 128, 1, 4)


def test_unknown_names_are_answered_with_the_allowed_ones() -> None:
    with pytest.raises(BadConfig, match=r"model\.preset: got gpt-5; expected nano, micro, small"):
        preset("gpt-5")
    with pytest.raises(BadConfig, match=r"model\.depth"):
        preset("nano", depth=3)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"width": 0}, "width"),
        ({"layers": 2.0}, "layers"),
        ({"layers": True}, "layers"),
        ({"heads": 3, "kv_heads": 3}, "heads"),
        ({"kv_heads": 3}, "kv_heads"),
        ({"head_dim": 7}, "head_dim"),
        ({"norm_eps": 0.0}, "norm_eps"),
        ({"rope_theta": float("nan")}, "rope_theta"),
        ({"sliding_window": 0}, "sliding_window"),
        ({"eos_ids": (1, 4096)}, "eos_ids"),
    ],
)
def test_bad_sizes_are_named(changes: dict, field: str) -> None:
    with pytest.raises(BadConfig) as caught:
        preset("nano", **changes)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "yarn", "factor": 2.0},
        {"kind": "linear", "factor": float("nan")},
        {"kind": "linear", "factor": 0.5},
        {"kind": "llama3", "factor": 8.0},
        {"kind": "llama3", "factor": 8.0, "original_context": 64, "low_freq_factor": 4.0},
    ],
)
def test_bad_rope_scaling_is_refused(settings: dict) -> None:
    with pytest.raises(BadConfig, match="rope_scaling"):
        RopeScaling(**settings)


def test_a_config_is_frozen() -> None:
    with pytest.raises(AttributeError):
        preset("nano").width = 64  # type: ignore[misc]


def test_windows_begin_at_their_layer() -> None:
    config: ModelConfig = preset("nano", sliding_window=8, sliding_from_layer=2)
    assert [config.window_of_layer(layer) for layer in range(4)] == [None, None, 8, 8]


def test_the_demonstration_prints_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr().out
    assert all(f"\n{name} " in printed for name in PRESETS)
    assert "134,515,008" in printed
