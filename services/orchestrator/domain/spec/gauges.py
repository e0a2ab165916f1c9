"""Gauge sets: general text that a run measures and that no stage trains on (model/gauge has the texts).

A retention set that is held out from a replayed source also says how well that source is being learned: its score can
fall while the model forgets everything else. Gauge sets are the other column. They have no share in the mix, so that
the ladder cannot raise one: what helps them is the learning rate, what makes the model say what it said before, and
replay of text that is like them (`replay_for`, domain/policy/anticipation.py).

What was never known cannot be forgotten. A gauge whose baseline needs more than `most_bits_per_byte` is measured and
shown, and decides nothing: a model that has read only stories gets a perplexity of thousands on code, which rises and
falls by half without a meaning.
"""

from collections.abc import Iterable, Mapping

from retain.values import ForgettingSpec, GaugeKind

PREFIX = "gauge-"
KINDS = tuple(kind for kind in GaugeKind if kind is not GaugeKind.UNSPECIFIED)
# A byte of English costs bzip2, which knows no language, 2.0 to 2.5 bits (on a megabyte of it), a small pre-trained
# model about 1. Who needs more than the first knows nothing that could be told from noise when it is lost.
MOST_BITS_PER_BYTE = 2.0


def gauge_names(rules: ForgettingSpec) -> tuple[str, ...]:
    """The gauge sets of a filled spec. A spec that was stored before there were any has none."""
    gauges = rules.gauges
    return () if gauges is None or gauges.off else tuple(PREFIX + kind.lower() for kind in gauges.kinds)


def is_gauge(set_name: str) -> bool:
    """Whether a retention set is one that no stage trains on."""
    return set_name.startswith(PREFIX)


def most_bits_per_byte(rules: ForgettingSpec, set_name: str) -> float | None:
    """Bits a byte above which a baseline did not know a set; None for a set that counts whatever was known."""
    return rules.gauges.most_bits_per_byte if rules.gauges is not None and is_gauge(set_name) else None


def warnings_of(name: str, retention_sets: Iterable[str], shares: Mapping[str, float]) -> tuple[str, ...]:
    """What people should know about the sets of a stage: that all of them come from text which it trains on."""
    kept = tuple(retention_sets)
    if not kept or not all(shares.get(one, 0.0) > 0 for one in kept):
        return ()
    return (
        f"{name} is measured on replayed sources only ({', '.join(kept)}): a score then also says that this source is "
        "being learned, and nothing of what else is forgotten. Leave forgetting.gauges on, or name a set of "
        "forgetting.retention with a share of 0 in data.replay",
    )
