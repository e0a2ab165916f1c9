"""Local data and models looked at as the worker will, by the real process: every fault, its place, and how much."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from model.child_process.tokenizer import ApartTokenizer
from model.cli.preflight import check, check_source
from model.data.prepare import pack
from model.data.sources import open_source
from model.errors import RetainModelError
from model.families.names import FAMILIES
from model.tokenization.tokenizer import Tokenizer

TALK = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Yes."}]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def asked(path: Path, role: str = "general", place: str = "stages[0]", **stage: object) -> dict:
    kinds = {"general": "PRETRAIN", "domain": "MIDTRAIN", "chat": "FINETUNE"}
    return {
        "field": f"{place}.data.{role}",
        "uri": path.name,
        "path": str(path),
        "role": role,
        "stage": {"kind": kinds.get(role, ""), **stage},
        "stage_field": place,
    }


def greeting(number: int) -> list[dict[str, str]]:
    """Conversations that differ: equal ones are one document to the split."""
    return [{"role": "user", "content": f"Hello {number:03d}?"}, {"role": "assistant", "content": "Yes."}]


def faults(*sources: dict) -> list[tuple[str, str]]:
    return [(fault["field"], fault["description"]) for fault in check({"sources": sources})["violations"]]


def test_a_process_without_torch_says_what_is_there_and_what_is_wrong(tmp_path):
    good = write(tmp_path / "good.jsonl", *({"messages": [*greeting(n), *TALK]} for n in range(400)))
    texts = write(tmp_path / "texts.jsonl", {"text": "a"}, '{"text": ', {"txt": "b"}, "[1]", {"text": "c"})
    question = {"sources": [asked(good, "chat", "stages[2]"), asked(texts)]}
    code = (
        "import sys, runpy, atexit\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "runpy.run_module('model.cli.preflight', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(question), capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "False"
    answer = json.loads(done.stdout)
    chat, text = answer["sources"]
    assert (chat["kind"], chat["documents"], chat["assistant_turns"], chat["complete"]) == ("chat", 400, 800, True)
    assert chat["bytes"] == 400 * len("Hello 000?\nYes.\nHello?\nYes.")
    assert (text["kind"], text["documents"]) == ("text", 2)
    assert [fault["field"] for fault in answer["violations"]] == ["stages[0].data.general"] * 3
    places = [fault["description"].partition(": got ")[0] for fault in answer["violations"]]
    assert places == ["texts.jsonl:2", "texts.jsonl:3", "texts.jsonl:4"]
    assert "got a row with the fields ['txt']; expected text, messages" in answer["violations"][1]["description"]


def test_what_is_not_json_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "model.cli.preflight"], input="{", capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "standard input" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b"", "empty.txt: got an empty file; expected a file with at least one document"),
        ("latin.txt", b"good\ncaf\xe9\n", "latin.txt:2: got byte 0xe9 at offset 8, which is not UTF-8"),
        ("data.xlsx", b"x", "data.xlsx: got a file ending in '.xlsx'; expected .c, "),
        ("blank.txt", b"\n\n", "blank.txt: got only blank lines; expected text"),
        ("bad.parquet", b"PAR0", "bad.parquet: got a file that parquet cannot read"),
        (
            "hard.jsonl",
            b'{"text": "a", "difficulty": 9}\n',
            "hard.jsonl:1: difficulty: level: got 9; expected 1 to 5",
        ),
        ("two.txt", b"a\n", "two.txt: got 1 document, none of them for "),
    ],
)
def test_faults_of_files(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    ((field, description),) = faults(asked(tmp_path / name))
    assert field == "stages[0].data.general"
    assert description.startswith(said)


def test_every_file_of_a_folder_is_named(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"")
    (folder / "b.txt").write_bytes(b"\xff")
    write(folder / "c.jsonl", {"text": "x"}, {"messages": TALK})
    said = [description.partition(";")[0] for _, description in faults(asked(folder))]
    assert said == [
        "texts/a.txt: got an empty file",
        "texts/b.txt:1: got byte 0xff at offset 0, which is not UTF-8",
        "texts/c.jsonl:2: got a chat document in text data",
    ]


def test_many_faults_are_counted_not_listed(tmp_path):
    said = faults(asked(write(tmp_path / "bad.jsonl", *({"txt": n} for n in range(40)))))
    assert len(said) == 6
    assert said[-1] == ("stages[0].data.general", "bad.jsonl: 35 more faults")
    said = faults(asked(write(tmp_path / "bad.jsonl", *({"txt": n} for n in range(1_200)))))
    assert said[-1][1] == "bad.jsonl: at least 995 more faults"


def test_what_a_stage_asks_is_named_by_its_place_in_the_spec(tmp_path):
    texts = write(tmp_path / "texts.jsonl", *({"text": f"x = {n}"} for n in range(300)))
    midtrain = {"domain": "CODE", "domain_options": {"languages": ["pyton"]}}
    ((field, said),) = faults(asked(texts, "domain", "stages[1]", **midtrain))
    assert field == "stages[1].domain_options.languages"
    assert said.startswith("got ['pyton']; expected python, javascript")
    ((field, said),) = faults(asked(texts, "domain", "stages[1]", domain="MATH", domain_options={"difficulty": [2, 3]}))
    assert (field, said) == (
        "stages[1].data.domain",
        "texts.jsonl as math: got no document that fits; expected {'difficulty_range': [2.0, 3.0]}",
    )
    ((field, said),) = faults(asked(texts, "general", data={"fields": {"prompt": "q"}}))
    assert (field, said.partition(";")[0]) == ("stages[0].data.fields", "got prompt: q for text")
    assert faults(asked(texts, "domain", "stages[1]", domain="CODE", domain_options={"languages": ["python"]})) == []


def test_text_as_chat_and_chat_as_text(tmp_path):
    texts = write(tmp_path / "texts.jsonl", {"text": "x"})
    chat = write(tmp_path / "chat.jsonl", {"messages": TALK})
    said = faults(asked(texts, "chat", "stages[2]"), asked(chat), asked(chat, "domain", "stages[1]", domain="SCIENCE"))
    assert [(field, text.partition(";")[0]) for field, text in said] == [
        ("stages[2].data.chat", "texts.jsonl: got text without turns"),
        ("stages[0].data.general", "chat.jsonl: got conversations"),
        ("stages[1].data.domain", "chat.jsonl: got conversations"),
    ]


def test_what_is_elsewhere_has_its_options_checked(tmp_path):
    elsewhere = asked(tmp_path, "domain", "stages[1]", domain="CODE", domain_options={"languages": ["go"]})
    assert [field for field, _ in faults({**elsewhere, "uri": "sample://code", "path": ""})] == [
        "stages[1].domain_options.languages"
    ]
    assert faults({**elsewhere, "uri": "hf://owner/name", "path": ""}) == []
    named = asked(tmp_path, "chat", "stages[1]", data={"fields": {"text": "body"}})
    assert [field for field, _ in faults({**named, "uri": "s3://b/x", "path": ""})] == ["stages[1].data.fields"]


def test_reading_ends_at_its_bounds_and_says_so(tmp_path):
    long = write(tmp_path / "long.jsonl", *({"text": f"{n:05} " + "x" * 94} for n in range(500)), '{"broken')
    facts, found = check_source(asked(long), limit_bytes=10_000)
    assert (facts["documents_read"], facts["bytes_read"], facts["complete"]) == (100, 10_000, False)
    assert facts["bytes_on_disk"] == long.stat().st_size
    assert found == []  # the broken line comes later, and too few documents are no fault of a part
    facts, _ = check_source(asked(long), limit_s=0.0)
    assert (facts["complete"], facts["documents_read"]) == (False, 0)
    # What does not fit in the part that was read may come in the rest.
    midtrain = {"domain": "MATH", "domain_options": {"difficulty": [2, 3]}}
    assert check_source(asked(long, "domain", **midtrain), limit_bytes=10_000)[1] == []
    # A cap on tokens ends the worker's reading too: here 400 tokens, about 1,600 bytes.
    facts, found = check_source({**asked(long), "max_tokens": 400})
    assert (facts["documents"], facts["complete"], found) == (16, False, [])
    array = tmp_path / "array.json"
    array.write_text(json.dumps([{"text": "x" * 100}] * 200))
    facts, found = check_source(asked(array), limit_bytes=10_000)
    assert (facts["documents"], facts["complete"], found) == (100, False, [])


CHATML = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{{ '<|' ~ m.role ~ '|>' ~ m.content ~ '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def with_template(folder: Path, template: str) -> Tokenizer:
    """A model folder, as far as conversations are concerned."""
    tokenizer = Tokenizer.train_bpe(["Hello? Yes. " * 20], 300)
    tokenizer.chat_template = template
    tokenizer.save(folder)
    return Tokenizer.load(folder)


def talk(number: int) -> list[dict]:
    """A conversation like no other."""
    return [{"role": "user", "content": f"Hello {number}?"}, TALK[1]]


def test_a_conversation_is_shown_as_the_model_reads_it_with_its_target_tokens_marked(tmp_path):
    path = write(tmp_path / "chat.jsonl", *({"messages": talk(n)} for n in range(400)))
    facts, found = check_source(asked(path, "chat"))
    assert found == []
    assert facts["example"]["place"] == f"{path}:1"
    pieces = [(piece["text"], piece["is_target"]) for piece in facts["example"]["pieces"]]
    assert pieces == [("<|bos|><|user|>Hello 0?<|end|><|assistant|>", False), ("Yes.<|end|>", True)]
    with_template(tmp_path / "model", CHATML)
    facts, _ = check_source(asked(path, "chat"), template=str(tmp_path / "model"))
    pieces = [(piece["text"], piece["is_target"]) for piece in facts["example"]["pieces"]]
    assert pieces == [("<|user|>Hello 0?<|end|><|assistant|>", False), ("Yes.<|end|>", True)]


@pytest.mark.parametrize(
    ("template", "row", "said"),
    [
        (CHATML, {"messages": [{"role": "system", "content": "Be kind."}, *TALK]}, "no system"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", None, "not get through"),
        (CHATML.replace("~ '<|end|>'", ""), None, "end"),
    ],
)
def test_the_check_and_the_preparation_refuse_the_same_conversation(tmp_path, monkeypatch, template, row, said):
    monkeypatch.setattr("model.child_process.rendering.PATIENCE_S", 2.0)
    tokenizer = with_template(tmp_path / "model", template)
    rows = [{"messages": talk(n)} for n in range(300)]
    if row is not None:
        rows[150] = row
    path = write(tmp_path / "chat.jsonl", *rows)
    facts, found = check_source(asked(path, "chat"), template=str(tmp_path / "model"), limit_s=60.0)
    assert said in str(found[0])
    if row is not None:
        assert [error.field for error in found] == [f"{path}:151: messages"]
        assert facts["example"]["place"] == f"{path}:1"
    with ApartTokenizer(tokenizer, patience_s=2) as bounded, pytest.raises(RetainModelError) as caught:
        pack(open_source(str(path)), bounded, tmp_path / "shard", context=64, kind="chat")
    assert said in str(caught.value)
    assert caught.value.field == found[0].field
    assert isinstance(found[0], type(caught.value))


def test_a_model_folder_whose_tokenizer_cannot_be_got_through_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    with_template(folder, CHATML)
    real = subprocess.Popen

    def started(command, **options):
        return real([*command[:3], "tests.fakes.apart_hanging", *command[4:]], **options)

    monkeypatch.setattr("model.child_process.process.subprocess.Popen", started)
    monkeypatch.setattr("model.child_process.rendering.START_S", 1.0)
    (said,) = model_faults(folder)
    assert said.startswith(
        "model/tokenizer.json: got a tokenizer that the reader does not get through: it gave no sign"
    )


def test_what_is_left_out_of_a_folder_is_told(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder / "train.jsonl", *({"text": f"words {n}"} for n in range(300)))
    (folder / "README.md").write_text("about")
    (folder / "picture.png").write_bytes(b"x")
    facts, found = check_source(asked(folder))
    assert found == []
    assert facts["notes"] == [
        f"{folder}: left out: about the data: 1 (README.md)",
        f"{folder}: left out: of other kinds: 1 (.png 1)",
    ]


@pytest.mark.parametrize("bad", ['{"text": ' + "[" * 100_000, '{"x": ' + "9" * 5_000 + "}", '{"text": "\\ud800"}'])
def test_a_line_made_to_hurt_is_a_fault_of_that_line_and_the_answer_is_json(tmp_path, bad):
    path = write(tmp_path / "d.jsonl", *({"text": f"a {n}"} for n in range(699)), bad, *[{"text": "b"}] * 300)
    done = subprocess.run(
        [sys.executable, "-m", "model.cli.preflight"],
        input=json.dumps({"sources": [asked(path)]}),
        capture_output=True,
        text=True,
        check=True,
    )
    (violation,) = json.loads(done.stdout)["violations"]
    assert violation["description"].startswith("d.jsonl:700")


def model_faults(folder: Path, *, sent: bool = False) -> list[str]:
    one = {"field": "model.huggingface", "uri": folder.name, "path": str(folder), "sent": sent}
    answer = check({"models": [one]})
    assert all(fault["field"] == "model.huggingface" for fault in answer["violations"])
    return [fault["description"] for fault in answer["violations"]]


@pytest.fixture
def llama(shared_data: Path, tmp_path: Path) -> Path:
    """A copy of a real model folder, to be broken."""
    folder = tmp_path / "llama"
    folder.mkdir()
    for file in (shared_data / "models" / "stories260K-hf").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_a_model_folder_is_told_by_its_headers(llama):
    answer = check({"models": [{"field": "model.huggingface", "uri": "m", "path": str(llama)}]})
    assert answer["violations"] == []
    assert (answer["sources"][0]["parameters"], answer["sources"][0]["vocab_size"]) == (260_032, 512)


def test_every_fault_of_a_model_folder_is_told(llama):
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.py"}}))
    weights = llama / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    (llama / "tokenizer.json").unlink()
    (llama / "old.bin").write_bytes(b"pickle")
    said = model_faults(llama)
    assert [text.partition(": got")[0] for text in said] == [
        "llama/old.bin",
        "llama/config.json: auto_map",
        "llama/model.safetensors",
        "llama/tokenizer.json",
    ]
    # Where the folder is uploaded, pickles stay behind.
    assert [text for text in model_faults(llama, sent=True) if "pickle" in text] == []


def test_models_of_other_families_and_without_weights(llama):
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps({**config, "model_type": "mamba"}))
    (llama / "model.safetensors").unlink()
    family, weights = model_faults(llama)
    allowed = ", ".join(["llama", "mistral", "qwen2", *FAMILIES])
    assert family == f"llama/config.json: model_type: got mamba; expected {allowed}"
    assert weights.startswith("llama: got no weights; expected model.safetensors")
    (llama / "config.json").write_text(json.dumps({**config, "hidden_size": 128}))
    assert model_faults(llama.parent / "absent") == [
        "absent: got no such folder; expected a model folder in Hugging Face's layout"
    ]


def test_beside_a_fault_no_facts_are_invented_and_notes_are_told(llama):
    one = {"field": "model.huggingface", "uri": "m", "path": str(llama)}
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps({**config, "pad_token_id": -1}))
    answer = check({"models": [one]})
    assert answer["violations"] == []
    (note,) = answer["sources"][0]["notes"]
    assert note.startswith("m/config.json: pad_token_id: got -1")
    for changes in ({"num_hidden_layers": 7}, {"hidden_size": "64"}, {"eos_token_id": ["a"]}):
        (llama / "config.json").write_text(json.dumps({**config, **changes}))
        answer = check({"models": [one]})
        assert answer["violations"]
        assert (answer["sources"][0]["parameters"], answer["sources"][0]["vocab_size"]) == (None, None)


def test_weights_of_another_size_than_the_config_says(llama):
    config = json.loads((llama / "config.json").read_text())
    (llama / "config.json").write_text(json.dumps({**config, "vocab_size": 511}))
    said = model_faults(llama)
    assert any("model.embed_tokens.weight: got shape" in text for text in said)
    assert any(text.startswith("tokenizer: got 512 tokens; expected at most the model's 511") for text in said)
