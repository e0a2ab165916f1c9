"""What a trial of mixes measures: the control sets of the assignment, but for what the model never knew."""

import math

import numpy as np

from model.data.eval_set import EvalSet
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from services.worker.attempt.mix_trial import _measured
from tests.unit.model.training_helpers import CONFIG, fresh_model

TOKENS, CONTEXT = 32, 16


def eval_set(name: str, size: int) -> EvalSet:
    """One document of 32 tokens and so many bytes."""
    return EvalSet(
        name=name,
        context=CONTEXT,
        tokenizer_digest="tokenizer",
        text_digest=name,
        tokens_N=np.arange(TOKENS, dtype=np.int64) % CONFIG.vocab_size,
        units_N=np.zeros(TOKENS, dtype=np.int64),
        mask_N=None,
        unit_bytes_U=np.array([size], dtype=np.int64),
        unit_documents_U=np.array([0], dtype=np.int64),
    )


class Cache:
    """The sets that an assignment names, a byte a token; those of the gauge `gauge-unknown` have one byte in all."""

    def eval_set(self, ref) -> EvalSet:
        return eval_set(ref.name, 1 if ref.name == "gauge-unknown" else TOKENS)


def test_a_gauge_that_the_model_never_knew_is_left_out_of_every_mix() -> None:
    """Random weights need about log2 of the vocabulary a token: here so many bits a byte, 31 times that there."""
    work = control_pb2.StageWork(target="math")
    for name in ("math", "general", "gauge-known", "gauge-unknown"):
        work.mix_trial.sets.add(name=name)
    work.mix_trial.shares.extend((0.0, 1.0))
    most = 2 * math.log2(CONFIG.vocab_size)
    work.mix_trial.most_bits_per_byte.update({"gauge-known": most, "gauge-unknown": most})
    points = _measured(work, Cache(), fresh_model, (fresh_model(), fresh_model(1)), lambda: None)
    assert [set(point.forgetting_nats) for point in points] == [{"general", "gauge-known"}] * 2
    assert points[0].forgetting_nats["gauge-known"] == 0.0, "the model before the stage against itself"
    assert points[1].forgetting_nats["gauge-known"] != 0.0
