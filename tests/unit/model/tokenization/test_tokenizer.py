"""Tokenizers: the same from the same texts, faithful to those that come with models, and deaf to injected tokens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from model.errors import BadCheckpoint, BadConfig, BadSource
from model.tokenization.bpe import SMALLEST_VOCABULARY
from model.tokenization.tokenizer import Tokenizer

TEXT = "The cat sat on the mat, and the dog sat on the log. 12 345 é 漢字 🙂\n    indented\n"


@pytest.fixture(scope="module")
def ours() -> Tokenizer:
    return Tokenizer.train_bpe([TEXT] * 50, 320)


def test_training_is_the_same_on_any_number_of_threads(ours: Tokenizer) -> None:
    code = (
        "import sys; from model.tokenization.tokenizer import Tokenizer;"
        "print(Tokenizer.train_bpe([sys.argv[1]] * 50, 320).digest)"
    )
    for threads in ("1", "3"):
        run = subprocess.run(
            [sys.executable, "-c", code, TEXT],
            env=os.environ | {"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == ours.digest


def test_every_text_comes_back_and_begins_with_bos(ours: Tokenizer) -> None:
    for text in (TEXT, "", "\x00\r\n\t", "ζ🧪 never seen", "x" * 1000):
        ids = ours.encode(text)
        assert ids[0] == ours.bos_id
        assert ours.decode(ids) == text
    assert SMALLEST_VOCABULARY < ours.vocab_size <= 320  # a short text runs out of pairs
    assert len({ours.bos_id, ours.eos_id, ours.pad_id}) == 3


def test_merges_are_learned_and_digits_stand_alone(ours: Tokenizer) -> None:
    assert len(ours.encode(TEXT)) < len(TEXT.encode()) * 0.75
    assert len(ours.encode("345", add_special_tokens=False)) == 3


def test_a_special_token_written_in_a_document_is_plain_text(ours: Tokenizer, shared_data: Path) -> None:
    ids = ours.encode("a<|end|>b<|bos|>")
    assert ours.eos_id not in ids
    assert ids.count(ours.bos_id) == 1
    assert ours.decode(ids) == "a<|end|>b<|bos|>"
    imported = Tokenizer.load(shared_data / "models" / "stories260K-hf")
    assert imported.encode("x</s>").count(imported.eos_id) == 0


def test_saved_and_loaded_it_is_the_same_also_for_transformers(ours: Tokenizer, tmp_path: Path) -> None:
    ours.save(tmp_path)
    again, theirs = Tokenizer.load(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert (again.digest, again.bos_id, again.eos_id, again.pad_id) == (
        ours.digest,
        theirs.bos_token_id,
        theirs.eos_token_id,
        theirs.pad_token_id,
    )
    assert theirs(TEXT)["input_ids"] == ours.encode(TEXT) == again.encode(TEXT)
    assert "token_type_ids" not in theirs(TEXT)


def test_a_sentencepiece_tokenizer_that_came_with_a_model(shared_data: Path) -> None:
    folder = shared_data / "models" / "stories260K-hf"
    ours, theirs = Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder)
    assert (ours.vocab_size, ours.bos_id, ours.eos_id, ours.pad_id) == (512, 1, 2, None)
    for text in ("Once upon a time, there was a girl.", "é 漢", "  two spaces"):
        assert ours.encode(text) == theirs(text)["input_ids"]
    assert ours.decode(ours.encode("Once upon a time")) == "Once upon a time"


def test_a_truncation_saved_in_a_file_does_not_cut_documents(ours: Tokenizer, tmp_path: Path) -> None:
    ours.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    raw = json.loads(path.read_text())
    raw["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    path.write_text(json.dumps(raw))
    again = Tokenizer.load(tmp_path)
    assert again.encode(TEXT) == ours.encode(TEXT)
    assert again.digest == ours.digest


def test_batches_equal_single_documents(ours: Tokenizer) -> None:
    texts = [TEXT, "", "cat"]
    assert ours.encode_batch(texts) == [ours.encode(text) for text in texts]


def test_streamed_pieces_add_up_to_the_text(ours: Tokenizer) -> None:
    prompt, rest = ours.encode("The cat"), ours.encode(" sat 漢🙂.", add_special_tokens=False)
    step = ours.decode_stream(prompt)
    pieces = [step(token_id) for token_id in rest]
    assert None in pieces  # the middle of a character
    assert "".join(piece or "" for piece in pieces) == " sat 漢🙂."


def test_faults_are_named(ours: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=rf"vocab_size: got 100; expected at least {SMALLEST_VOCABULARY}"):
        Tokenizer.train_bpe([TEXT], 100)
    with pytest.raises(BadSource, match="no text"):
        Tokenizer.train_bpe(["", ""], 300)
    with pytest.raises(BadSource, match="Unicode"):
        ours.encode("lone \ud800 surrogate")
    with pytest.raises(BadCheckpoint, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BadCheckpoint, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)
    ours.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|absent|>"}')
    with pytest.raises(BadConfig, match=r"eos_token: got <\|absent\|>"):
        Tokenizer.load(tmp_path)


SPECIAL_CONFIGS = {
    "the end is an ordinary word of the vocabulary": {"eos_token": "cat"},
    "additional ones by name": {"additional_special_tokens": ["cat", "mat"]},
    "extra ones": {"extra_special_tokens": {"image_token": "cat"}},
    "with flags": {
        "added_tokens_decoder": {
            "270": {"content": "cat", "special": True, "lstrip": True, "rstrip": True, "normalized": False}
        }
    },
    "a mask": {"mask_token": "cat"},
}


@pytest.mark.parametrize("changes", SPECIAL_CONFIGS.values(), ids=SPECIAL_CONFIGS)
def test_special_tokens_that_only_the_config_names_are_special(ours: Tokenizer, changes: dict, tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.content + ' cat ' }}{% endfor %}"
    ours.save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (tmp_path / "chat_template.jinja").write_text(template)
    loaded, theirs = Tokenizer.load(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    talk = [{"role": "user", "content": "the dog"}]
    assert loaded.encode_prompt(talk) == theirs.apply_chat_template(talk)["input_ids"]
    assert "cat" in loaded.all_special
    spelled = loaded.encode("the cat")  # in a document it is text
    assert loaded.token_id("cat") not in spelled
    assert loaded.decode(spelled) == "the cat"
    loaded.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").fingerprint == loaded.fingerprint


def test_the_fingerprint_sees_what_changes_ids_masks_or_rendering(ours: Tokenizer, tmp_path: Path) -> None:
    ours.save(tmp_path)
    path, template = tmp_path / "tokenizer_config.json", tmp_path / "chat_template.jinja"
    config = json.loads(path.read_text())
    found = {"as it is": Tokenizer.load(tmp_path).fingerprint}
    assert found["as it is"] == ours.fingerprint
    for name, changes in {
        "no bos": {"bos_token": None},
        "other end": {"eos_token": "<|pad|>"},
        "one more": {"additional_special_tokens": ["cat"]},
    }.items():
        path.write_text(json.dumps(config | changes))
        found[name] = Tokenizer.load(tmp_path).fingerprint
    path.write_text(json.dumps(config | {"model_max_length": 77}))  # decides nothing here
    assert Tokenizer.load(tmp_path).fingerprint == ours.fingerprint
    path.write_text(json.dumps(config))
    template.write_text(template.read_text() + " ")
    found["other template"] = Tokenizer.load(tmp_path).fingerprint
    template.unlink()
    found["no template"] = Tokenizer.load(tmp_path).fingerprint
    raw = json.loads((tmp_path / "tokenizer.json").read_text())
    raw["post_processor"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw))
    found["nothing in front"] = Tokenizer.load(tmp_path).fingerprint
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"bos_token": 7}, "bos_token"),
        ({"eos_token": {"content": ["</s>"]}}, "eos_token"),
        ({"additional_special_tokens": [3]}, "additional_special_tokens"),
        ({"added_tokens_decoder": ["<x>"]}, "added_tokens_decoder"),
    ],
)
def test_a_token_that_is_no_text_is_named(ours: Tokenizer, changes: dict, named: str, tmp_path: Path) -> None:
    ours.save(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(BadCheckpoint, match=rf"tokenizer_config\.json: {named}"):
        Tokenizer.load(tmp_path)
