"""How large each part of a spec may be: one table for all checks.

Paths are those of the spec without indexes and keys. A number or list without a line here is a fault of this file,
which a test finds. The upper ends are far above what anybody trains with today and far below what a 64-bit number, a
message or a table on a screen holds; `LARGEST_TOKENS` bounds the products that a plan makes of them.
"""

from collections.abc import Mapping

LARGEST_TOKENS = 10**15  # of one stage, also as steps times tokens a step
LARGEST_TEXT = 4096  # characters of any text that has no line below
LARGEST_KEY = 128  # characters of a name in a map
LARGEST_REQUEST_ID = 128
LARGEST_COMMENT = 4096

NUMBERS: Mapping[str, float] = {
    "seed": 2**63 - 1,
    "model.context": 1_048_576,
    "tokenizer.train.vocab_size": 262_144,
    "stages.domain_options.difficulty": 5,
    "stages.data.general_share": 1,
    "stages.data.replay": 1,
    "stages.data.max_tokens": 10**13,
    "stages.data.sampling.tokens": 100_000_000,
    "stages.data.sampling.temperature": 2,
    "stages.data.sampling.top_p": 1,
    "stages.duration.tokens": 10**13,
    "stages.duration.epochs": 1000,
    "stages.duration.steps": 10**9,
    "stages.learning_rate": 10,
    "stages.schedule.warmup": 1,
    "stages.schedule.floor": 1,
    "stages.schedule.decay": 1,
    "stages.curriculum.levels": 5,
    "stages.batch.sequences": 65_536,
    "stages.batch.micro_sequences": 65_536,
    "stages.optimizer.weight_decay": 100,
    "stages.optimizer.beta1": 1,
    "stages.optimizer.beta2": 1,
    "stages.optimizer.clip": 10**6,
    "stages.lora.rank": 4096,
    "stages.lora.alpha": 10**6,
    "stages.penalty.ewc": 10**9,
    "stages.penalty.l2_sp": 10**9,
    "stages.penalty.distill": 10**9,
    "forgetting.minor": 1000,
    "forgetting.action": 1000,
    "forgetting.stop": 1000,
    "forgetting.budget": 1000,
    "forgetting.settle": 1,
    "forgetting.confirm": 1000,
    "forgetting.max_retries": 100,
    "forgetting.suspicious_below": 0,
    "forgetting.gauges.most_bits_per_byte": 64,
    "forgetting.unsettled_stop_factor": 1000,
    "forgetting.projected_ceiling_factor": 1000,
    "forgetting.ladder.rungs": 1,
    "forgetting.ladder.rate_factor": 1,
    "forgetting.ladder.largest_replay": 1,
    "forgetting.anticipate.aim": 1,
    "forgetting.anticipate.share_offset": 1,
    "forgetting.anticipate.smallest_share": 1,
    "forgetting.anticipate.largest_share": 1,
    "forgetting.anticipate.share_step": 1,
    "forgetting.anticipate.least_raise": 1,
    "forgetting.anticipate.least_relief": 1,
    "forgetting.anticipate.relief_felt": 1,
    "forgetting.anticipate.boundaries_used": 1000,
    "forgetting.anticipate.lag": 10,
    "forgetting.anticipate.early_forgetting": 1000,
    "forgetting.anticipate.end_forgetting": 1000,
    "forgetting.anticipate.scarce_passes": 10**9,
    "forgetting.interpolation.points": 1,
    "forgetting.op_mix.tokens": 10**13,
    "forgetting.op_mix.rank": 4096,
    "forgetting.op_mix.rate_factor": 1000,
    "forgetting.op_mix.shares": 1,
    "forgetting.interpolation.least_gain_nats": 1000,
    "forgetting.probe.budget": 1,
    "forgetting.probe.every": 10**6,
    "forgetting.probe.answer_tokens": 1024,
    "forgetting.probe.most_seconds": 86_400,
    "evaluation.every.tokens": 10**13,
    "evaluation.every.steps": 10**9,
    "evaluation.tokens_per_set": 10**9,
    "evaluation.decision_lag": 1,
    "compute.workers": 4096,
    "compute.gpus_per_worker": 64,
    "compute.cpus_per_worker": 4096,
    "compute.min_workers": 4096,
    "checkpoints.keep_last": 10_000,
}

MAY_BE_NEGATIVE = frozenset({"seed", "forgetting.suspicious_below"})

# Entries of a list or map.
COUNTS: Mapping[str, int] = {
    "stages": 32,
    "labels": 64,
    "stages.domain_options.languages": 64,
    "stages.domain_options.difficulty": 2,
    "stages.domain_options.fields": 64,
    "stages.data.replay": 32,
    "stages.data.fields": 16,
    "forgetting.retention": 16,
    "forgetting.gauges.kinds": 16,
    "forgetting.interpolation.points": 64,
    "forgetting.interpolation.kinds": 64,
    "forgetting.op_mix.shares": 16,
    "forgetting.ladder.rungs": 16,
}

# Characters of a text.
TEXTS: Mapping[str, int] = {"name": 63, "labels": 1024, "stages.domain_options.languages": 64,
                            "stages.domain_options.fields": 64, "stages.data.fields": 256}  # fmt: skip

# Texts that name a place: no part of them may lead upwards.
PLACES: frozenset[str] = frozenset({
    "model.huggingface", "model.checkpoint", "stages.data.general", "stages.data.domain", "stages.data.chat",
    "forgetting.retention",
})  # fmt: skip
