"""The spec as a message: short enum names, every fault at once with its path, and the JSON schema of the same."""

import jsonschema
import pytest
from google.protobuf import json_format

from retain.types.v1 import spec_pb2
from ui import guides
from ui.client.schema import spec_schema
from ui.client.spec import to_message
from ui.spec import templates
from ui.spec.file import parse_yaml


def faults(tree: object) -> dict[str, str]:
    return {violation.field: violation.description for violation in to_message(tree)[1]}


def test_short_and_full_enum_names_make_the_same_message() -> None:
    short, none = to_message({"stages": [{"kind": "MIDTRAIN", "domain": "CODE", "curriculum": {"strategy": "STAGED"}}]})
    full, _ = to_message(
        {
            "stages": [
                {
                    "kind": "STAGE_KIND_MIDTRAIN",
                    "domain": "DOMAIN_CODE",
                    "curriculum": {"strategy": "CURRICULUM_STRATEGY_STAGED"},
                }
            ]
        }
    )
    assert not none
    assert short == full
    assert short.stages[0].kind == spec_pb2.STAGE_KIND_MIDTRAIN


def test_every_fault_is_found_at_once_with_its_path() -> None:
    found = faults(
        {
            "nam": "x",
            "model": {"preset": "nano", "checkpoint": "s3://b/c"},
            "stages": [
                {"kind": "PRETRAIN", "learning_rat": 1e-4},
                {"kind": "TRAIN", "duration": {"tokens": 1.5}, "data": {"general_share": "ten"}},
            ],
            "forgetting": {"mitigate": "yes", "action": float("nan")},
            "labels": {"team": 3},
            "checkpoints": {"keep_last": True},
            "seed": -1,
        }
    )
    assert set(found) == {
        "nam",
        "model",
        "stages[0].learning_rat",
        "stages[1].kind",
        "stages[1].duration.tokens",
        "stages[1].data.general_share",
        "forgetting.mitigate",
        "forgetting.action",
        "labels.team",
        "checkpoints.keep_last",
        "seed",
    }
    assert "expected name, model" in found["nam"]
    assert found["stages[1].kind"] == "got 'TRAIN'; expected one of PRETRAIN, MIDTRAIN, FINETUNE"
    assert "exactly one of preset, huggingface, checkpoint" in found["model"]


def test_unspecified_is_refused() -> None:
    assert set(faults({"stages": [{"kind": "UNSPECIFIED"}, {"kind": "STAGE_KIND_UNSPECIFIED"}, {"kind": 0}]})) == {
        "stages[0].kind",
        "stages[1].kind",
        "stages[2].kind",
    }


@pytest.mark.parametrize("tree", [[], "text", 3])
def test_what_is_no_mapping_is_refused(tree: object) -> None:
    assert set(faults(tree)) == {"(spec)"}


def test_a_whole_number_may_be_written_with_an_exponent() -> None:
    message, none = to_message(parse_yaml("stages: [{kind: PRETRAIN, duration: {tokens: 2e6}}]"))
    assert not none
    assert message.stages[0].duration.tokens == 2_000_000


def test_zero_and_false_are_kept_where_absence_means_a_default() -> None:
    message, _ = to_message(
        {"forgetting": {"mitigate": False, "max_retries": 0}, "stages": [{"data": {"general_share": 0}}]}
    )
    assert message.forgetting.HasField("mitigate")
    assert message.forgetting.HasField("max_retries")
    assert message.stages[0].data.HasField("general_share")
    assert not message.forgetting.HasField("action")


@pytest.mark.parametrize("entry", templates.templates(), ids=lambda entry: entry.name)
def test_every_template_is_a_spec_and_fits_the_schema(entry: guides.Entry) -> None:
    tree = parse_yaml(entry.text)
    message, none = to_message(tree)
    assert not none
    jsonschema.Draft202012Validator(spec_schema()).validate(tree)
    assert message.name == entry.name
    # protobuf's own parser reads the same message from the same fields
    again = json_format.ParseDict(json_format.MessageToDict(message), spec_pb2.PipelineSpec())
    assert again == message


@pytest.mark.parametrize(
    "tree",
    [
        {"nam": "x"},
        {"stages": [{"kind": "TRAIN"}]},
        {"stages": [{"duration": {"tokens": 1, "steps": 1}}]},
        {"seed": -1},
        {"labels": {"team": 3}},
        {"forgetting": {"mitigate": "yes"}},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(tree: dict) -> None:
    jsonschema.Draft202012Validator.check_schema(spec_schema())
    assert list(jsonschema.Draft202012Validator(spec_schema()).iter_errors(tree))
    assert faults(tree)
