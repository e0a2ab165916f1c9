"""Rotary positions (Su et al. 2021, arXiv:2104.09864) as a GGUF file says them: a base, and what stretches them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.errors import UnsupportedArchitecture

BASE = 10_000.0  # where a config does not say one


@dataclass(frozen=True, kw_only=True)
class Rope:
    """base of the angles. linear: positions are divided by it; None is as they are. factors: what Llama 3 divides each
    angle by, [half of a head], as a tensor of the file."""

    base: float
    linear: float | None = None
    factors: np.ndarray[Any, np.dtype[np.float32]] | None = None


def rope_of(config: Mapping[str, Any], head_width: int, where: str) -> Rope:
    """Of a parsed config.json, in its old and its new form. Raises UnsupportedArchitecture for ways that are not known
    here: YaRN, LongRoPE, dynamic, and parts of a head."""
    new = config.get("rope_parameters") or {}
    if config.get("model_type") == "gemma3_text" and "full_attention" in new:
        local = new.get("sliding_attention", {})
        if local.get("rope_theta", BASE) != BASE or local.get("rope_type", "default") != "default":
            raise UnsupportedArchitecture(
                f"{where}: rope of the sliding layers", local, f"the default of base {BASE:g}"
            )
        new = new["full_attention"]
    given = {**(config.get("rope_scaling") or {}), **new}
    base = float(given.get("rope_theta", config.get("rope_theta", BASE)))
    part = given.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
    if part not in (None, 1, 1.0):
        raise UnsupportedArchitecture(f"{where}: partial_rotary_factor", part, "1: the whole head is rotated")
    kind = given.get("rope_type", given.get("type", "default"))
    if kind == "default":
        return Rope(base=base)
    if kind == "linear":
        return Rope(base=base, linear=float(given["factor"]))
    if kind == "llama3":
        return Rope(base=base, factors=_llama3(given, base, head_width))
    raise UnsupportedArchitecture(f"{where}: rope_type", kind, ["default", "linear", "llama3"])


def _llama3(given: Mapping[str, Any], base: float, head_width: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What each angle is divided by (Llama 3.1, arXiv:2407.21783): long waves by the whole factor, short ones by
    1, those between by what lies between."""
    factor, low, high = (float(given[name]) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    context = float(given["original_max_position_embeddings"])
    found = []
    for index in range(0, head_width, 2):
        wave = 2 * math.pi * base ** (index / head_width)
        if wave < context / high:
            found.append(1.0)
        elif wave > context / low:
            found.append(factor)
        else:
            smooth = (context / wave - low) / (high - low)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(found, dtype=np.float32)
