"""The model card: read back by huggingface_hub and by a Markdown parser; hostile names mean nothing in it."""

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from retain.orchestrator.v1 import resources_pb2 as res
from retain.types.v1 import values_pb2
from tests.fakes import scripted_runs
from tests.fakes.orchestrator_service import FakePlatform
from ui.client.client import RetainClient
from ui.client.errors import BadInput
from ui.local.card_text import clean, fenced, markdown, yaml_value
from ui.local.export import write_export
from ui.local.model_card import licence_of, model_card

HOSTILE = [
    "---\nlicense: mit\n---",
    "a\n---\nlicense: gpl\n",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "http://evil.example www.evil.example a@evil.example",
    "a | b | c",
    "`code` ``` fence\n# heading\n* list",
    "\u202etxt.exe\u2066\x00\x07\x1b[31m",
    "{{ jinja }} ${env} !!python/object:x &anchor *alias",
    "_em_ **strong** ~~gone~~ <!-- comment -->",
    "'\"\\: # - yes null 1e3 \u2028 \u0085 \ufeff",
    "🙂👩\u200d👧 ünïcode 数学",
    "x" * 10_000,
]


def parsed(text: str) -> list[Any]:
    """Tokens of the Markdown below the front matter, as GitHub's flavour has it; HTML is taken as HTML."""
    body = text.split("\n---\n", 1)[1]
    return MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)


def rendered(text: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text.split("\n---\n", 1)[1])


@pytest.fixture
def row(platform: FakePlatform, client: RetainClient) -> Any:
    """The accepted checkpoint of the mid-training of a run that has ended."""
    run = scripted_runs.finished(platform, "r")
    return client.checkpoint(run.status.stages[1].accepted.uri)


def test_a_card_says_lineage_data_figures_and_decisions(platform: FakePlatform, client: RetainClient, row: Any) -> None:
    platform.runs["r"].spec.stages[1].data.domain = "sample://code"
    platform.runs["r"].spec.stages[1].data.general = "hf://HuggingFaceFW/fineweb?split=train"
    platform.runs["r"].status.prepared.add(name="code", digest="d" * 64, tokens=1234, documents=7)
    text = model_card(client, row, licence="apache-2.0")
    card = ModelCard(text)
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "text-generation"
    assert card.data.datasets == ["HuggingFaceFW/fineweb"]
    measured = next(one for one in client.history("r", stage="midtrain/code") if one.step == row.ref.step)
    told = {(one.dataset_name, one.metric_type): one.metric_value for one in card.data.eval_results}
    assert len(measured.results) == 2
    for result in measured.results:
        said = told[f"{result.set.name} ({result.set.use.name.lower()})", "perplexity"]
        assert said == pytest.approx(result.perplexity, rel=1e-12)
    shown = rendered(text)
    assert row.ref.manifest_sha256 in shown
    assert row.parent[:16] in shown or len(client.checkpoints(run_id="r")) == 1
    assert "PSF-2.0" in shown
    assert "as the data set" in shown
    assert "d" * 64 in shown
    assert f"{measured.scores[0].ratio:+.2%}" in shown
    for decision in client.decisions("r"):
        if decision.stage in ("pretrain", "midtrain/code") and decision.message:
            assert clean(decision.message)[:20] in _text(shown)
    spec = next(token.content for token in parsed(text) if token.type == "fence")
    assert json.loads(spec)["name"] == "code-model"
    assert "finetune" not in {cell.content for cell in parsed(text) if cell.type == "inline"}


def _text(html: str) -> str:
    import html as library

    return library.unescape(html)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_mean_nothing(platform: FakePlatform, client: RetainClient, row: Any, name: str) -> None:
    platform.runs["r"].spec.name = name
    platform.runs["r"].spec.stages[1].data.domain = f"s3://retain/{name}"
    platform.runs["r"].status.prepared.add(name=name, digest="d" * 64)
    platform.decisions["r"].append(
        res.Decision(run_id="r", number=99, stage="midtrain/code", step=1, verdict=res.VERDICT_HOLD, message=name)
        if hasattr(res, "VERDICT_HOLD")
        else res.Decision(run_id="r", number=99, stage="midtrain/code", step=1, message=name)
    )
    text = model_card(client, row)
    card = ModelCard(text)
    assert card.data.license is None
    assert card.data.model_name.startswith(clean(name)[:20].strip()) if clean(name) else True
    tokens = [one for token in parsed(text) for one in (token, *(token.children or ()))]
    kinds = {token.type for token in tokens}
    allowed = {
        "heading_open", "heading_close", "inline", "paragraph_open", "paragraph_close", "text", "fence", "text_special",
        *(f"{part}_{end}" for part in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")),
    }  # fmt: skip
    assert kinds <= allowed
    headings = [tokens[n + 1].content for n, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings[1:] == ["Lineage", "Stages", "Data", "Figures", "Decisions", "How it was made"]
    widths = {len(line.split(" | ")) for line in text.splitlines() if line.startswith("| ") and "d" * 64 in line}
    assert widths == {5}, "a cell more or less would shift what the others say"
    for hidden in ("\u202e", "\u2066", "\x00", "\x1b", "\u2028", "\ufeff"):
        assert hidden not in text
    assert "http://evil" not in text.split("\n---\n", 1)[1].split("```json")[0]


def test_texts_are_shown_as_themselves() -> None:
    assert markdown("a_b *c* <d>") == "a&#95;b &#42;c&#42; &#60;d&#62;"
    assert markdown("- no list") == "&#45; no list"
    assert json.loads(yaml_value({"a": "---\nb: 1", "c": [1.5]})) == {"a": "--- b: 1", "c": [1.5]}
    assert fenced("a ```` b").startswith("`````json\n")
    with pytest.raises(ValueError, match="not JSON compliant"):
        yaml_value(float("nan"))


def test_licences_are_known_of_what_comes_with_retain_alone() -> None:
    assert licence_of("sample://code?documents=3").startswith("PSF-2.0")
    assert licence_of("sample://math").startswith("Apache-2.0")
    assert licence_of("s3://retain/uploads/x") == licence_of("/data/x.txt") == "not stated"


@pytest.mark.parametrize("licence", ["MIT\nx: 1", "a b", "-", "x" * 61, "<b>"])
def test_a_licence_that_is_none_is_refused(client: RetainClient, row: Any, licence: str) -> None:
    with pytest.raises(BadInput, match=r"apache-2\.0"):
        model_card(client, row, licence=licence)


def test_an_imported_checkpoint_and_one_whose_run_is_gone_have_a_card(
    platform: FakePlatform, client: RetainClient, row: Any
) -> None:
    platform.runs.clear()
    assert "not known any more" in model_card(client, row)
    digest = "e" * 64
    platform.checkpoints.append(
        res.Checkpoint(
            id="imported/x", ref=values_pb2.CheckpointRef(uri="s3://retain/imports/x", manifest_sha256=digest)
        )
    )
    text = model_card(client, client.checkpoint(digest))
    assert ModelCard(text).data.library_name == "transformers"
    assert "imported/x" in text
    assert "Nothing was measured" in text


def test_an_export_has_its_card_and_resumes_where_it_was_interrupted_while_moving(
    platform: FakePlatform, client: RetainClient, row: Any, tmp_path: Path
) -> None:
    for name in ("config.json", "model.safetensors"):
        platform.store.objects[f"/runs/{row.id}/model/{name}"] = name.encode()
    folder = tmp_path / "out"
    folder.mkdir()
    _, target = write_export(client, row.id, folder, card=lambda one: model_card(client, one))
    assert ModelCard.load(target / "README.md").data.library_name == "transformers"
    # As a kill between two moves leaves it: the card and one file are in place, the other is not.
    staging = folder / ".arriving" / row.ref.manifest_sha256
    staging.mkdir(parents=True)
    (folder / "config.json").rename(staging / "config.json")
    write_export(client, row.id, folder, card=lambda one: model_card(client, one))
    assert sorted(entry.name for entry in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
