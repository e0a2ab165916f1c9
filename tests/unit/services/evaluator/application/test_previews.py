"""The beginning of a text as a model reads it: rows, tokens, which of them are targets, how hard; within bounds."""

import hashlib
import json
from pathlib import Path

import pytest

from model.data.looks.preview import histogram
from retain.values import Domain, DomainOptions, ForgettingSpec, PipelineSpec, PreviewDataRequest, StageData, StageKind
from retain.values import StageSpec as Stage
from services.common.errors import InvalidInput, NotFound
from services.common.identity.principal import Kind, Principal, Role, set_current_principal
from services.evaluator.adapters import fetched
from services.evaluator.adapters.previewer import SourcePreviewer
from services.evaluator.application.ports import SourceRules
from services.evaluator.application.previews import Previews
from tests.fakes.object_store import FakeObjectStore

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


@pytest.fixture
def store() -> FakeObjectStore:
    return FakeObjectStore()


@pytest.fixture
def rules() -> Rules:
    return Rules()


@pytest.fixture
def previews(store: FakeObjectStore, rules: Rules) -> Previews:
    set_current_principal(Principal(subject="a", kind=Kind.USER, roles=frozenset({Role.OPERATOR})))
    return Previews(rules, SourcePreviewer(store))


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
