"""Rotary position embedding (Su et al. 2021, arXiv:2104.09864).

Each pair of coordinates (i, i + D/2) of a query or key is turned by an angle position * frequency_i. The dot product of
a turned query and a turned key then depends only on their distance. The pairing of the two halves (not of neighbours)
is that of Hugging Face's Llama, so that its weights can be used unchanged.
"""

import math

import torch
from torch import Tensor

from model.nn.config import ModelConfig, RopeScaling

# Shapes: B batch, T tokens, H heads, D size of a head.


def inverse_frequencies(config: ModelConfig) -> Tensor:
    """Angles in radians per token, float32 [D / 2], scaling applied."""
    size = config.head_size
    exponents = torch.arange(0, size, 2, dtype=torch.int64).float() / size
    frequencies = 1.0 / (config.rope_theta**exponents)
    if config.rope_scaling is None:
        return frequencies
    if config.rope_scaling.kind == "linear":
        return frequencies / config.rope_scaling.factor
    return _llama3_frequencies(frequencies, config.rope_scaling)


def _llama3_frequencies(frequencies: Tensor, scaling: RopeScaling) -> Tensor:
    assert scaling.original_context is not None  # RopeScaling refuses llama3 without it
    wavelengths = 2 * math.pi / frequencies
    turns = scaling.original_context / wavelengths
    smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    smooth = smooth.clamp(0.0, 1.0)  # 0: long wave, fully stretched; 1: short wave, left alone
    return (1 - smooth) * frequencies / scaling.factor + smooth * frequencies


class RotaryTable:
    """Cosines and sines of all positions of a context, made once per device.

    A plain object and not a buffer: `module.to(bfloat16)` would round a buffer, and rounded angles go wrong at long
    contexts; they also have no place in a checkpoint.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def __call__(self, positions: Tensor | slice, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(cos, sin) of the positions, each [..., D] with both halves filled."""
        if device not in self._tables:
            places = torch.arange(self._config.context, dtype=torch.float32)
            angles = torch.outer(places, inverse_frequencies(self._config))
            angles = torch.cat((angles, angles), dim=-1)
            self._tables[device] = (angles.cos().to(device), angles.sin().to(device))
        cos, sin = self._tables[device]
        return cos[positions].to(dtype), sin[positions].to(dtype)


def rotate(x_BHTD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x turned by its positions; cos and sin broadcast against x ([T, D] or [B, 1, T, D])."""
    first, second = x_BHTD.chunk(2, dim=-1)
    return x_BHTD * cos + torch.cat((-second, first), dim=-1) * sin


def segment_positions(segments_BT: Tensor) -> Tensor:
    """Position of each token within its own segment, int64; segments are runs of equal ids."""
    places_T = torch.arange(segments_BT.shape[1], device=segments_BT.device)
    starts_BT = torch.ones_like(segments_BT, dtype=torch.bool)
    starts_BT[:, 1:] = segments_BT[:, 1:] != segments_BT[:, :-1]
    start_places_BT = torch.where(starts_BT, places_T, 0).cummax(dim=1).values
    return places_T - start_places_BT
