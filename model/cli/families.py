"""The command behind `python -m model.cli.families`: what each family can do here, tried on a tiny random model.

A model is written by transformers, opened by Retain, compared, packed, adapted, held in pieces by two processes,
written by Retain and opened by transformers again. Exit code 1 where a family fails.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from model.checkpointing.hf import load_pretrained, save_pretrained
from model.cli.families_group import differences_in_pieces
from model.errors import RetainModelError
from model.families.config import from_hf
from model.families.names import FAMILIES
from model.families.reference import reference_logits, write_reference
from model.families.tiny import CONTEXT, VOCABULARY, tiny_config
from model.nn.causal_lm import CausalLM
from model.nn.lora import add_lora, merged_copy
from retain.values.faults import mismatch

TOLERANCE = 1e-5  # of the largest logit, in float32
ROW = "{:<12} {:>9} {:>8} {:>10} {:>9} {:>9} {:>9} {:>9}  {}"
HEAD = ROW.format("family", "weights", "logits", "packing", "segments", "LoRA", "pieces", "written", "")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of one family: largest differences of logits, as parts of the largest one; none may be over TOLERANCE.

    logits: to transformers' own. packs: whether rows are computed packed; segments: packed or not, to each row alone.
    lora: of merged adapters to adapters. pieces: of gradients of a model in pieces to those of a whole one, as parts of
    the largest; None where that was not tried. written: transformers on what Retain wrote, to what it was. fault: why
    nothing more could be tried.
    """

    name: str
    weights: int = 0
    logits: float = 0.0
    packs: bool = False
    segments: float = 0.0
    lora: float = 0.0
    pieces: float | None = None
    written: float = 0.0
    fault: str = ""

    @property
    def passed(self) -> bool:
        """Whether all of it worked."""
        return (
            not self.fault and max(self.logits, self.segments, self.lora, self.pieces or 0.0, self.written) <= TOLERANCE
        )

    def line(self) -> str:
        """One line for people."""
        if self.fault:
            return f"{self.name:<12} refused: {self.fault}"
        figures = (
            "-" if one is None else f"{one:.0e}" for one in (self.segments, self.lora, self.pieces, self.written)
        )
        packing = "packed" if self.packs else "unpacked"
        said = "" if self.passed else "FAILED"
        return ROW.format(self.name, self.weights, f"{self.logits:.0e}", packing, *figures, said).rstrip()


def try_family(name: str, folder: Path) -> Trial:
    """The whole way with a tiny model of a family, in a folder of its own. A refusal is a result."""
    try:
        return _tried(name, folder)
    except RetainModelError as error:
        return Trial(name=name, fault=str(error))


@torch.no_grad()
def _tried(name: str, folder: Path) -> Trial:
    generator = torch.Generator().manual_seed(1)
    tokens_BT = torch.randint(VOCABULARY, (2, CONTEXT // 2), generator=generator)
    write_reference(from_hf(tiny_config(name)), folder / "theirs")
    model = load_pretrained(folder / "theirs").eval()
    theirs_BTV = reference_logits(folder / "theirs", tokens_BT)
    save_pretrained(model, folder / "ours")
    segments_1T = torch.tensor([[0] * tokens_BT.shape[1] + [1] * tokens_BT.shape[1]])
    packed_BTV = model(tokens_BT.reshape(1, -1), segments_BT=segments_1T).view(theirs_BTV.shape)
    return Trial(
        name=name,
        weights=model.num_parameters(),
        logits=_difference(model(tokens_BT), theirs_BTV),
        packs=bool(getattr(model, "packs", True)),
        segments=_difference(packed_BTV, theirs_BTV),
        written=_difference(reference_logits(folder / "ours", tokens_BT), theirs_BTV),
        lora=_adapted(model, tokens_BT, generator),
    )


def _adapted(model: CausalLM, tokens_BT: torch.Tensor, generator: torch.Generator) -> float:
    """Puts random adapters beside the matrices: how far the merged model is from the adapted one; infinite where the
    adapters change nothing."""
    before_BTV = model(tokens_BT)
    add_lora(model, rank=2, alpha=4)
    for weight_name, weight in model.named_parameters():
        if "lora_B" in weight_name:
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.05)
    adapted_BTV = model(tokens_BT)
    if _difference(adapted_BTV, before_BTV) == 0:
        return float("inf")
    return _difference(merged_copy(model)(tokens_BT), adapted_BTV)


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, as a part of the largest logit."""
    return float((one - other).abs().max() / other.abs().max())


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints one line a family; 0 when all of them passed."""
    parser = argparse.ArgumentParser(prog="python -m model.cli.families", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="FAMILY", help=f"of {', '.join(FAMILIES)} (default: all)")
    chosen = parser.parse_args(arguments).names or list(FAMILIES)
    unknown = sorted(set(chosen) - set(FAMILIES))
    if unknown:
        parser.error(mismatch(", ".join(unknown), ", ".join(FAMILIES)))
    print(HEAD.rstrip(), flush=True)
    failed = False
    with TemporaryDirectory() as place:
        folder = Path(place)
        found = [try_family(name, folder / name) for name in chosen]
        works = [trial.name for trial in found if not trial.fault]
        pieces = differences_in_pieces([folder / name / "theirs" for name in works], folder) if works else {}
        for trial in found:
            together = pieces.get(str(folder / trial.name / "theirs"))
            if isinstance(together, str):
                trial = replace(trial, fault=f"in pieces: {together}")
            else:
                trial = replace(trial, pieces=together)
            failed = failed or not trial.passed
            print(trial.line(), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
