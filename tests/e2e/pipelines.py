"""The small pipelines of these tests: a tiny model and text that every machine has, so that a run takes seconds."""

from typing import Any

EVERY_STEPS = 6


def three_stages(name: str, *, seed: int = 7, stretch: int = 1) -> dict[str, Any]:
    """All three stages, 36 boundaries (times `stretch`). The limits are wide: these runs are not to be rolled back."""
    common = {"batch": {"sequences": 64}}
    return {
        **_base(name, seed),
        "stages": [
            {
                "kind": "PRETRAIN",
                "data": {"general": "sample://docs", "max_tokens": 60_000},
                "duration": {"steps": 96 * stretch},
                "learning_rate": 1e-3,
                **common,
            },
            {
                "kind": "MIDTRAIN",
                "domain": "CODE",
                "data": {
                    "domain": "sample://code",
                    "general": "sample://docs",
                    "general_share": 0.3,
                    "max_tokens": 60_000,
                },
                "duration": {"steps": 72 * stretch},
                "learning_rate": 3e-4,
                **common,
            },
            {
                "kind": "FINETUNE",
                "data": {
                    "chat": "sample://chat",
                    "replay": {"general": 0.15, "domain": 0.1},
                    "max_tokens": 60_000,
                },
                "duration": {"steps": 48 * stretch},
                "learning_rate": 3e-4,
                **common,
            },
        ],
        "forgetting": {"minor": 0.5, "action": 1.0, "stop": 2.0, "budget": 1.0},
    }


def one_stage(name: str, *, general: str = "sample://docs", seed: int = 7) -> dict[str, Any]:
    """A pre-training of two boundaries on the text that the three stages begin with."""
    stage = {
        "kind": "PRETRAIN",
        "data": {"general": general, "max_tokens": 60_000},
        "duration": {"steps": 2 * EVERY_STEPS},
        "learning_rate": 1e-3,
    }
    return {**_base(name, seed), "stages": [stage]}


def on_top_of(name: str, checkpoint_uri: str) -> dict[str, Any]:
    """A fine-tuning on a checkpoint of another run."""
    stage = {
        "kind": "FINETUNE",
        "data": {"chat": "sample://chat", "general": "sample://docs", "max_tokens": 60_000},
        "duration": {"steps": EVERY_STEPS},
        "learning_rate": 3e-4,
    }
    base = _base(name, 7)
    del base["tokenizer"]
    return {**base, "model": {"checkpoint": checkpoint_uri, "context": 64}, "stages": [stage]}


def _base(name: str, seed: int) -> dict[str, Any]:
    return {
        "name": name,
        "seed": seed,
        "model": {"preset": "nano", "context": 64},
        "tokenizer": {"train": {"vocab_size": 512}},
        "evaluation": {"every": {"steps": EVERY_STEPS}, "tokens_per_set": 2000, "decision_lag": 0},
    }
