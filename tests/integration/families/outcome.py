"""What came of a family, as a line of a table for people. A test adds its line when all of it held."""

from dataclasses import dataclass

ROW = "{:<12} {:>6} {:>15} {:>15} {:>8} {:>8} {:>9}  {}"


@dataclass(frozen=True, kw_only=True)
class Line:
    """Of one family: losses in nats a token at the first and the last checkpoint of the stage whose every weight
    learns and of the one with adapters; the largest difference of logits between transformers on the export and Retain
    on it, as a part of the largest logit; the same digest after an interruption in each stage."""

    name: str
    packed: bool
    trained: tuple[float, float]
    adapted: tuple[float, float]
    resumed: bool
    exported: float
    through: str


LINES: list[Line] = []


def table(lines: list[Line]) -> str:
    """Heads and one line a family."""
    made = [ROW.format("family", "rows", "loss", "loss, LoRA", "resumed", "export", "", "through")]
    for one in lines:
        learned = (f"{first:.2f} -> {last:.2f}" for first, last in (one.trained, one.adapted))
        rows = "packed" if one.packed else "apart"
        same = "same" if one.resumed else "other"
        made.append(ROW.format(one.name, rows, *learned, same, f"{one.exported:.0e}", "", one.through))
    return "\n".join(made)
