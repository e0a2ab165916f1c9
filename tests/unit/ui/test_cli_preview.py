"""`retain preview`: real rows as the model reads them."""

from retain.evaluator.v1 import resources_pb2
from tests.fakes.orchestrator_service import FakePlatform

SPEC = "name: x\nstages:\n- {kind: PRETRAIN, data: {general: 'sample://docs'}}\n- {kind: FINETUNE, data: {chat: 'sample://chat'}}\n"


def conversation() -> resources_pb2.DataPreview:
    found = resources_pb2.DataPreview(
        kind="chat", documents_read=40, bytes_read=9000, unrated=30, tokenizer="trained here", notes=["2 left out"]
    )
    one = found.documents.add(place="c.jsonl:1", token_count=4, target_count=2)
    for text, is_target in (("<|user|>", False), ("Hi\n", False), ("Hello", True), ("<|end|>", True)):
        one.tokens.add(text=text, is_target=is_target)
    found.difficulty.add(low=1, high=3, count=5)
    found.difficulty.add(low=3, high=5, count=10)
    return found


def test_a_conversation_shows_what_is_learned(retain, platform: FakePlatform, tmp_path) -> None:
    platform.previews["chat"] = conversation()
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    outcome = retain("preview", str(spec), "--stage", "1")
    assert "40 conversations, the first ones, 9,000 bytes of text" in outcome.out
    assert "c.jsonl:1: 4 tokens, 2 of them learned" in outcome.out
    assert "  reads  | <|user|>|Hi\\n\n  learns | Hello|<|end|>\n" in outcome.out
    assert "  1.0 - 3.0       5  " + "█" * 15 + "\n" in outcome.out
    assert "30 documents do not say" in outcome.out
    assert "PreviewData 1 chat 3" in platform.calls, "the role is what the stage learns"
    assert retain("preview", str(spec), "--stage", "1", "--json").json["documents"][0]["target_count"] == 2


def test_what_cannot_be_shown_is_bad_input(retain, platform: FakePlatform, tmp_path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    outcome = retain("preview", str(spec), "--role", "domain")
    assert outcome.code == 2
    assert "stages[0].data.domain: got none; expected a source" in outcome.err
