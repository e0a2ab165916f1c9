"""Tokenizers in a child: the same ids, the same training, and every way to hang or end it is a named fault."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tokenizers import Regex, pre_tokenizers
from tokenizers import Tokenizer as Backend

from model.child_process.tokenizer import ApartTokenizer
from model.child_process.training import train_apart
from model.data.prepare import pack
from model.data.shards import TokenShard
from model.data.sources import open_source
from model.document import Document
from model.errors import BadConfig, BadSource, Cancelled
from model.tokenization.long_words import LONGEST_WORD, ShortWords
from model.tokenization.tokenizer import Tokenizer

WORDS = [f"some words of text {n}, and others" for n in range(200)]
SLOW = ("x" * 20 + " ") * 100_000  # about 5 ms a word for the pattern below


@pytest.fixture(scope="module")
def plain() -> Tokenizer:
    return Tokenizer.train_bpe(WORDS, 300)


@pytest.fixture(scope="module")
def hurting(plain: Tokenizer) -> Tokenizer:
    """A tokenizer whose pattern backtracks without end: long on many short runs of x, over the limit on a long one."""
    backend = Backend.from_str(plain.to_json())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex("(x+x+)+y"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return Tokenizer.of_preset(backend)


def documents(*texts: str) -> list[Document]:
    return [Document(text=text, origin=str(n), meta={"row": f"data.jsonl:{n + 1}"}) for n, text in enumerate(texts)]


def test_ids_masks_and_texts_are_those_of_the_tokenizer(plain, tmp_path):
    texts = [*WORDS, "é\U0001f600", "<|end|> is text", ""]
    chats = list(open_source("sample://chat", options={"documents": 30}))
    with ApartTokenizer(plain) as apart:
        assert [list(ids) for ids in apart.encode_batch(texts)] == plain.encode_batch(texts)
        assert list(apart.encode("a", add_special_tokens=False)) == plain.encode("a", add_special_tokens=False)
        assert [apart.encode_document(chat) for chat in chats] == [plain.encode_document(chat) for chat in chats]
        assert apart.decode(plain.encode("é \U0001f600")) == "é \U0001f600"
        assert (apart.digest, apart.fingerprint, apart.vocab_size) == (
            plain.digest,
            plain.fingerprint,
            plain.vocab_size,
        )
        pack(chats, apart, tmp_path / "a", context=64, kind="chat")
        pack(documents(*WORDS), apart, tmp_path / "b", context=64, kind="text")
    pack(chats, plain, tmp_path / "c", context=64, kind="chat")
    pack(documents(*WORDS), plain, tmp_path / "d", context=64, kind="text")
    for one, other in (("a", "c"), ("b", "d")):
        assert TokenShard.open(tmp_path / one).meta == TokenShard.open(tmp_path / other).meta


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x" * 60, "retry-limit-in-match over"),
        (SLOW, "gave no sign for 2 s"),
        ("half \ud800", "surrogates not allowed"),
    ],
)
def test_the_text_that_a_tokenizer_does_not_get_through_is_named(hurting, tmp_path, text, said):
    with ApartTokenizer(hurting, patience_s=2) as apart:
        with pytest.raises(BadSource) as caught:
            pack(documents("good", text, "fine"), apart, tmp_path / "shard", context=8, kind="text")
        if "surrogate" not in said:
            assert caught.value.field == "data.jsonl:2"
        assert said in caught.value.got
        assert list(tmp_path.iterdir()) == []
        assert len(apart.encode("good again")) > 1


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "gave no sign for 2 s"),
        (
            "{% set n = namespace(x='ab') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
            "chat.jsonl:7: messages: got MemoryError",
        ),
    ],
)
def test_a_chat_template_that_does_not_end_is_named_with_the_row(plain, template, said):
    chat = next(iter(open_source("sample://chat", options={"documents": 1})))
    chat = replace(chat, meta={"row": "chat.jsonl:7"})
    tokenizer = Tokenizer.of_preset(Backend.from_str(plain.to_json()))
    tokenizer.chat_template = template
    with ApartTokenizer(tokenizer, patience_s=2 if "sign" in said else 60) as apart:
        with pytest.raises(BadSource) as caught:
            apart.encode_document(chat)
        assert said in str(caught.value)
        assert len(apart.encode("good")) > 1


def test_faults_of_conversations_come_back_with_their_row_and_kind(plain):
    tokenizer = Tokenizer.of_preset(Backend.from_str(plain.to_json()))
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    chat = next(iter(open_source("sample://chat", options={"documents": 1})))
    faults = []
    with ApartTokenizer(tokenizer) as apart:
        for encoder in (tokenizer, apart):
            with pytest.raises((BadSource, BadConfig)) as caught:
                encoder.encode_document(chat)
            faults.append((type(caught.value), str(caught.value)))
    assert faults[0] == faults[1]


def test_training_apart_gives_the_same_tokenizer_and_tells_how_far_it_is():
    seen: list[int] = []
    notes: list[str] = []
    texts = [*WORDS, "ACGT" * 1_000]
    trained = train_apart(texts, 320, progress=seen.append, say=notes.append)
    assert trained.fingerprint == Tokenizer.train_bpe(texts, 320).fingerprint
    assert seen[-1] == sum(len(text.encode()) for text in texts)
    assert notes == ["tokenizer: 1 words or blanks of more than 256 characters were counted in pieces of 256"]
    with pytest.raises(BadSource, match="no text"):
        train_apart([], 320)
    with pytest.raises(BadConfig, match="vocab_size"):
        train_apart(WORDS, 10)


def test_training_can_be_cancelled_and_leaves_no_child():
    letters = random.Random(0)
    texts = ["".join(letters.choices("abcdefghij", k=200)) for _ in range(40_000)]
    before = {child.pid for child in psutil.Process().children()}
    turns = 0

    def waiting() -> None:
        nonlocal turns
        turns += 1
        if turns == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        train_apart(texts, 30_000, waiting=waiting)
    assert {child.pid for child in psutil.Process().children()} <= before


@pytest.mark.parametrize("text", ["", "short words only", "ACGT" * 300 + " end", " " * 1_000 + "x" * 257, "é" * 5_000])
def test_long_words_come_in_pieces_that_are_the_text(text):
    words = ShortWords([text, "next"])
    pieces = list(words)
    assert "".join(pieces) == f"{text}next"
    assert all(len(word) <= LONGEST_WORD for piece in pieces for word in piece.split())
    assert (words.texts, words.characters) == (2, len(text) + 4)
    assert words.long_words == sum(len(word) > LONGEST_WORD for word in text.split()) + (" " * 1_000 in text)


def test_a_genome_in_one_line_is_learnt_from_beside_text():
    letters = "".join(random.Random(0).choices("ACGT", k=250_000))
    trained = Tokenizer.train_bpe([*WORDS * 3, letters], 1_000)
    assert trained.vocab_size == 1_000
    assert len(trained.encode(letters)) < 125_000  # more than two letters a token
    assert len(trained.encode("some words of text")) < 8


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", ["training", "packing"])
def test_an_interrupted_preparation_leaves_nothing_half_written(tmp_path, plain, stop, phase):
    source, out = tmp_path / "text.txt", tmp_path / "out"
    letters = random.Random(0)
    line = "".join(letters.choices("abcdefghij ", k=10_000))
    source.write_text("".join(f"{line[n % 97 :]}\n\n" for n in range(3_000)))
    command = [sys.executable, "-m", "model.cli.prepare", str(source), "--out", str(out), "--vocab-size", "20000"]
    if phase == "packing":
        plain.save(tmp_path / "tokenizer")
        command += ["--tokenizer", str(tmp_path / "tokenizer")]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process = psutil.Process(running.pid)
    name = "model.child_process.encode"
    deadline_s = time.monotonic() + 60
    while not any(name in child.cmdline() for child in process.children()):
        assert running.poll() is None, running.stderr.read()
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    children = process.children()
    time.sleep(0.5)
    os.kill(running.pid, stop)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 130
    assert said.strip().endswith("interrupted; what was finished before is kept, nothing is half-written")
    assert [path for path in Path(out).rglob("*") if path.is_file()] == []
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
def test_an_interrupt_inside_of_an_executed_string_has_the_same_exit_code(tmp_path, stop):
    """Such strings are run whenever a module with dataclasses is imported, which preparation does where it needs it."""
    (tmp_path / "interrupted.py").write_text(
        "import os, signal, sys, time\n"
        "from model.cli import prepare\n"
        f"told = 'os.kill(os.getpid(), signal.{stop})\\ntime.sleep(20)'\n"
        "prepare._run = lambda options: exec(told, globals())\n"
        "raise SystemExit(prepare.main(['text.txt', '--out', 'out']))\n"
    )
    command = [sys.executable, "-m", "interrupted"]
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[4])])
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=60)
    assert ended.returncode == 130, ended.stderr
