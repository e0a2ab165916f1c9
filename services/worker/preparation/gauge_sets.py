"""The gauge sets of a run: the texts of model/gauge, as the run's tokenizer and context make sets of them.

They have no source, so there is nothing to open or to pack, and no stage is given a shard of them. What they hold goes
into the run's exam like that of every other set: a source that has a copy of it is trained on without that copy.
"""

from collections.abc import Iterator
from pathlib import Path

from model.data.eval_set import EvalSet
from model.data.exam import Held, within_caps
from model.data.held_out import HeldOut
from model.data.split import HoldOut
from model.gauge import gauge_texts, kind_of
from model.tokenization.tokenizer import Tokenizer
from retain.orchestrator.v1 import stage_control_service_pb2 as control_pb2
from retain.types.v1 import values_pb2


def held_gauges(work: control_pb2.PrepareWork) -> dict[str, Held]:
    """By name of the set, the texts that any stage is measured by and none may train on. Raises BadSource for a kind
    that this package does not have."""
    return {
        name: Held(control=texts.control, report=texts.report, contents=HeldOut.of(texts.documents))
        for name in _names(work)
        for texts in (gauge_texts(kind_of(name) or name),)
    }


def gauge_digests(work: control_pb2.PrepareWork) -> dict[str, str]:
    """What names these texts in the recipes of all that is prepared without them."""
    return {name: gauge_texts(kind_of(name) or name).digest for name in _names(work)}


def write_gauges(
    work: control_pb2.PrepareWork, tokenizer: Tokenizer, rule: HoldOut, root: Path
) -> Iterator[tuple[str, values_pb2.SetUse, Path]]:
    """(name, use, folder) of each set, written under `root` within the caps of the run's other sets."""
    for name, held in held_gauges(work).items():
        for use, documents, tokens, units in (
            (values_pb2.SET_USE_CONTROL, held.control, rule.control_tokens, rule.control_units),
            (values_pb2.SET_USE_REPORT, held.report, rule.report_tokens, rule.report_units),
        ):
            chosen = within_caps(list(documents), tokenizer, units=units, tokens=tokens, shorten_to=rule.shorten_to)
            part = "report" if use == values_pb2.SET_USE_REPORT else "control"
            evalset = EvalSet.build(
                f"{name}/{part}", [shown for _, shown in chosen], tokenizer, work.spec.model.context
            )
            folder = root / evalset.digest
            if not folder.is_dir():
                evalset.write(folder)
            yield name, use, folder


def _names(work: control_pb2.PrepareWork) -> list[str]:
    return sorted({name for stage in work.stages for name in stage.never_replayed})
