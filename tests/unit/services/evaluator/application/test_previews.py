"""The beginning of a text as a model reads it: rows, tokens, which of them are targets, how hard; within bounds."""

import hashlib
import json
from pathlib import Path

import pytest

from model.data.looks.preview import histogram
from retain.values import (
    CheckpointRef,
    Domain,
    DomainOptions,
    ForgettingSpec,
    ModelSpec,
    PipelineSpec,
    PreviewDataRequest,
    StageData,
    StageKind,
    TokenizerSpec,
    TrainTokenizer,
)
from retain.values import StageSpec as Stage
from services.common.errors import InvalidInput, NotFound
from services.common.identity.principal import Kind, Principal, Role, set_current_principal
from services.evaluator.adapters import fetched
from services.evaluator.adapters.previewer import SourcePreviewer
from services.evaluator.application.ports import Owners, SourceRules
from services.evaluator.application.previews import Previews
from tests.fakes.object_store import FakeObjectStore
from tests.unit.model.data_helpers import byte_tokenizer

CHAT = [
    {"messages": [{"role": "user", "content": f"Say {n}"}, {"role": "assistant", "content": f"word{n} it is"}]}
    for n in range(8)
]


class Rules(SourceRules):
    """Lets everything be read but what has `secret` in its name."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def fault_of(self, uri: str, project: str) -> str | None:
        self.asked.append((uri, project))
        return "got a secret; expected none" if "secret" in uri else None

    def model_fault(self, place: str, project: str) -> str | None:
        return self.fault_of(place, project)


class Whose(Owners):
    """Every checkpoint is of the project `default`, but those of the run `theirs`."""

    def of_checkpoint(self, ref: CheckpointRef) -> frozenset[str]:
        return frozenset({"theirs" if "/theirs/" in ref.uri else "default"})


@pytest.fixture
def store() -> FakeObjectStore:
    return FakeObjectStore()


@pytest.fixture
def rules() -> Rules:
    return Rules()


@pytest.fixture
def previews(store: FakeObjectStore, rules: Rules) -> Previews:
    set_current_principal(Principal(subject="a", kind=Kind.USER, roles=frozenset({Role.OPERATOR})))
    return Previews(rules, SourcePreviewer(store), Whose())


def asked(stage: Stage, role: str, number: int = 0, **how) -> PreviewDataRequest:
    return PreviewDataRequest(spec=PipelineSpec(stages=(stage,)), stage=number, role=role, **how)


def chat_stage(uri: str) -> Stage:
    return Stage(kind=StageKind.FINETUNE, data=StageData(chat=uri))


def uploaded(store: FakeObjectStore, content: bytes, name: str = "c.jsonl") -> str:
    key = f"uploads/{hashlib.sha256(content).hexdigest()}/{name}"
    store.put_bytes(key, content)
    return f"s3://{store.bucket}/{key}"


async def test_of_a_conversation_only_what_the_assistant_says_is_a_target(previews, store, rules) -> None:
    uri = uploaded(store, "\n".join(map(json.dumps, CHAT)).encode())
    found = await previews.preview(asked(chat_stage(uri), "chat", documents=2))
    assert (found.kind, len(found.documents), found.documents_read, found.complete) == ("chat", 2, 8, True)
    first = found.documents[0]
    said = "".join(token.text for token in first.tokens if token.is_target)
    assert said.strip().startswith("word0 it is")
    assert "Say" not in said
    assert first.target_count == sum(token.is_target for token in first.tokens) < first.token_count
    assert "Say 0" in "".join(token.text for token in first.tokens)
    assert (found.difficulty, found.unrated) == ((), 8)
    assert rules.asked == [(uri, "default")]


async def test_of_a_domain_the_options_hold_and_the_difficulties_are_counted(previews) -> None:
    stage = Stage(
        kind=StageKind.MIDTRAIN,
        domain=Domain.MATH,
        domain_options=DomainOptions(difficulty=(2.0, 3.0)),
        data=StageData(domain="sample://math?documents=120"),
    )
    found = await previews.preview(asked(stage, "domain"))
    counts = {(bar.low, bar.high): bar.count for bar in found.difficulty}
    assert sum(counts.values()) == found.documents_read > 0
    assert all(count == 0 for (low, high), count in counts.items() if high <= 2.0 or low > 3.0)
    assert all(token.is_target for token in found.documents[0].tokens)


async def test_general_text_that_a_stage_leaves_out_is_that_of_the_first(previews) -> None:
    first = Stage(kind=StageKind.PRETRAIN, data=StageData(general="sample://science?documents=20"))
    second = Stage(kind=StageKind.MIDTRAIN, domain=Domain.MATH, data=StageData(domain="sample://math"))
    request = PreviewDataRequest(spec=PipelineSpec(stages=(first, second)), stage=1, role="general", documents=99)
    found = await previews.preview(request)
    assert (found.documents_read, len(found.documents)) == (20, 10)
    further = PipelineSpec(forgetting=ForgettingSpec(retention={"poems": "sample://science?documents=5"}))
    assert (await previews.preview(PreviewDataRequest(spec=further, role="poems"))).documents_read == 5


@pytest.mark.parametrize(
    ("stage", "role", "how", "field"),
    [
        (chat_stage("sample://chat"), "chat", {"documents": -1}, "documents"),
        (chat_stage("sample://chat"), "chat", {"number": 1}, "stage"),
        (chat_stage("sample://chat"), "poems", {}, "role"),
        (Stage(kind=StageKind.FINETUNE, data=StageData(general="self://bos")), "general", {}, "stages[0].data.general"),
        (chat_stage(""), "chat", {}, "stages[0].data.chat"),
        (chat_stage("sample://docs"), "chat", {}, "stages[0].data.chat"),
        (chat_stage("s3://retain/nothing"), "chat", {}, "stages[0].data.chat"),
        (chat_stage("s3://other/data"), "chat", {}, "stages[0].data.chat"),
        (chat_stage("/nowhere/secret.jsonl"), "chat", {}, "stages[0].data.chat"),
        (chat_stage("/nowhere/at/all.jsonl"), "chat", {}, "stages[0].data.chat"),
        (Stage(data=StageData(chat="sample://chat")), "chat", {}, "stages[0].kind"),
    ],
)
async def test_what_cannot_be_shown_is_said_at_its_field(previews, stage, role, how, field) -> None:
    with pytest.raises(InvalidInput) as caught:
        await previews.preview(asked(stage, role, **how))
    (fault,) = caught.value.violations
    assert fault.field == field
    assert "expected" in fault.description


async def test_a_link_that_leads_out_and_another_content_are_refused(previews, store, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "passwd.txt").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput, match="link that leads out"):
        await previews.preview(asked(chat_stage(str(folder)), "chat"))
    uri = uploaded(store, json.dumps(CHAT[0]).encode())
    store.put_bytes(uri.removeprefix(f"s3://{store.bucket}/"), json.dumps(CHAT[1]).encode())
    with pytest.raises(InvalidInput, match="what was uploaded"):
        await previews.preview(asked(chat_stage(uri), "chat"))


async def test_more_than_a_look_needs_is_not_fetched(previews, store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched, "LARGEST_FETCH_BYTES", 10)
    with pytest.raises(InvalidInput, match="up to 10 bytes"):
        await previews.preview(asked(chat_stage(uploaded(store, b"{}" * 20)), "chat"))
    assert not [call for call in store.calls if call[0] == "get_file"]


async def test_a_project_of_others_is_not_there(previews) -> None:
    with pytest.raises(NotFound):
        await previews.preview(asked(chat_stage("sample://chat"), "chat", project="theirs"))


def test_a_histogram_counts_each_end() -> None:
    assert histogram([]) == ()
    bars = histogram([1.0, 1.49, 1.5, 5.0, 4.5])
    assert [(low, count) for low, _, count in bars if count] == [(1.0, 2), (1.5, 1), (4.5, 2)]
    assert bars[-1][1] == 5.0


def put_tokenizer(store: FakeObjectStore, folder: Path, prefix: str) -> None:
    """The model's own tokenizer, which no training on the sample would give: single bytes."""
    byte_tokenizer().save(folder)
    for path in folder.iterdir():
        store.put_bytes(f"{prefix}/{path.name}", path.read_bytes())


def of_model(model: ModelSpec, **how) -> PreviewDataRequest:
    stage = chat_stage("sample://chat?documents=4")
    return PreviewDataRequest(spec=PipelineSpec(stages=(stage,), model=model, **how), role="chat", documents=1)


async def test_the_models_own_tokenizer_cuts_where_the_run_begins_with_a_model(previews, store, tmp_path: Path) -> None:
    put_tokenizer(store, tmp_path, "runs/r/pretrain/attempt-1/step-000000010/model")
    uri = f"s3://{store.bucket}/runs/r/pretrain/attempt-1/step-000000010"
    found = await previews.preview(of_model(ModelSpec(checkpoint=uri)))
    assert found.tokenizer == f"the model's own, of {uri}/model"
    (shown,) = found.documents
    said = [token.text for token in shown.tokens if token.is_target]
    assert {len(text) for text in said if not text.startswith("<|")} == {1}, "one byte, one token"
    trained = await previews.preview(of_model(ModelSpec(preset="nano")))
    assert trained.documents[0].token_count < shown.token_count
    anew = TokenizerSpec(train=TrainTokenizer(vocab_size=1024))
    assert (await previews.preview(of_model(ModelSpec(checkpoint=uri), tokenizer=anew))) == trained
    put_tokenizer(store, tmp_path, "uploads/m/model")
    imported = await previews.preview(of_model(ModelSpec(huggingface=f"s3://{store.bucket}/uploads/m/model")))
    assert imported.documents == found.documents


async def test_a_model_without_a_tokenizer_there_is_told_and_one_of_others_is_refused(previews, store) -> None:
    nothing = await previews.preview(of_model(ModelSpec(huggingface=f"s3://{store.bucket}/uploads/none/model")))
    assert nothing.tokenizer.startswith("a vocabulary of up to 2,048")
    assert "no tokenizer.json was found there from here" in nothing.tokenizer
    theirs = f"s3://{store.bucket}/runs/theirs/pretrain/attempt-1/step-000000010"
    for model, field in (
        (ModelSpec(checkpoint=theirs), "model.checkpoint"),
        (ModelSpec(huggingface="s3://retain/uploads/secret/model"), "model.huggingface"),
    ):
        with pytest.raises(InvalidInput) as caught:
            await previews.preview(of_model(model))
        assert [fault.field for fault in caught.value.violations] == [field]


async def test_a_tokenizer_made_to_hurt_ends_its_child_and_not_the_evaluator(previews, store, tmp_path: Path) -> None:
    put_tokenizer(store, tmp_path, "uploads/bad/model")
    store.put_bytes("uploads/bad/model/tokenizer.json", b'{"model": {"type": "BPE"')
    with pytest.raises(InvalidInput, match=r"tokenizer\.json"):
        await previews.preview(of_model(ModelSpec(huggingface=f"s3://{store.bucket}/uploads/bad/model")))
