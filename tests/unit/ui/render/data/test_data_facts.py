"""What `retain show` says of a run's data."""

from retain.orchestrator.v1 import resources_pb2 as resources
from retain.types.v1 import values_pb2
from ui.client.convert import to_view
from ui.client.views import RunStatus
from ui.render.data.facts import data_lines


def test_what_is_known_of_the_data_is_said() -> None:
    run = resources.PipelineRun()
    run.status.prepared.add(name="general", left_out=1_234)
    run.status.prepared.add(name="code")
    run.status.overlap.update({"general/control": 0.0, "code/report": 0.125})
    run.status.near_duplicates.update({"code/report": 0.25})
    run.status.stages.add(name="pretrain", passes=values_pb2.Passes(least=1, median=4, most=5))
    run.status.stages.add(name="finetune", passes=values_pb2.Passes(least=3, median=3, most=3))
    run.status.stages.add(name="midtrain/code")
    assert data_lines(to_view(RunStatus, run.status)) == [
        "left out of training, because they hold text of an evaluation set: 1,234 documents of general",
        "evaluation documents that stand in training text word for word: 12.5% of code/report",
        "evaluation documents that nearly stand there: 25.0% of code/report",
        "pretrain: each document of its text comes 1 to 5 times; in the middle 4",
        "finetune: each document of its text comes 3 times",
    ]


def test_text_that_the_base_wrote_is_named() -> None:
    run = resources.PipelineRun()
    run.status.sampled.add(
        name="general", prompts="chat", temperature=1, top_p=0.9, tokens=412_000, documents=900,
        digest="0123456789abcdef", dropped={"loop": 3, "cut off": 20},
    )  # fmt: skip
    assert data_lines(to_view(RunStatus, run.status)) == [
        "general: 412,000 tokens in 900 documents that the base wrote (self://chat, temperature 1, top_p 0.9), "
        "0123456789ab; 23 more were dropped (loops, empty, cut off)"
    ]


def test_nothing_is_said_before_anything_is_known() -> None:
    assert data_lines(RunStatus()) == []
