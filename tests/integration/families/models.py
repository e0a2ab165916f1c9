"""Tiny random models of families as folders that a user would import: transformers' weights, a real tokenizer."""

import shutil
from pathlib import Path

import torch

from model.checkpointing.hf import load_pretrained
from model.families.config import from_hf
from model.families.reference import reference_logits, write_reference
from model.families.tiny import tiny_config

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
VOCABULARY = 512  # of the tokenizer


def write_family(name: str, folder: Path, *, tokenizer: Path) -> Path:
    """The folder of a tiny random model of a family."""
    write_reference(from_hf(tiny_config(name) | {"vocab_size": VOCABULARY}), folder)
    for file in TOKENIZER:
        shutil.copy(tokenizer / file, folder / file)
    return folder


@torch.no_grad()
def difference(folder: Path) -> float:
    """Logits of transformers on a model folder, as it is, against Retain's on it; as a part of the largest one."""
    tokens_BT = torch.randint(VOCABULARY, (2, 24), generator=torch.Generator().manual_seed(5))
    theirs_BTV = reference_logits(folder, tokens_BT)
    ours_BTV = load_pretrained(folder).eval()(tokens_BT)
    return float((ours_BTV - theirs_BTV).abs().max() / theirs_BTV.abs().max())
