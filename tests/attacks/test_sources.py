"""Rows 13 to 20: where text comes from, and what is in it. Readers are the real ones, in their own processes."""

import gzip
import io
import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.child_process.egress import check, is_public
from model.data.contamination import OverlapMeter
from model.data.content import Content
from model.data.held_out import HeldOut
from model.data.sources import apart, open_source
from model.document import Document
from model.errors import BadSource
from services.worker.preparation.local_files import check_local
from tests.attacks.installation import Installation, refused
from tests.attacks.matrix import Attack
from tests.fakes.hub import Hub
from tests.fakes.platform import demo_spec
from tests.unit.model.child_process.test_egress import INSIDE


def refused_source(attack: Attack, call: Callable[[], Any], *, how: str) -> str:
    """Reads what must not be read."""
    with pytest.raises(BadSource) as caught:
        call()
    said = str(caught.value)
    assert len(said) < 4096
    assert "root:" not in said, "a file of the system is quoted"
    attack.refused(how)
    return said


def refused_at_create(attack: Attack, installation: Installation, place: str) -> None:
    with installation.caller() as caller:
        spec = demo_spec()
        spec.stages[0].data.general = place
        refused(attack, lambda: caller.create(spec), naming="stages[0].data.general")
        spec = demo_spec()
        spec.forgetting.retention["mine"] = place
        refused(attack, lambda: caller.create(spec), naming="forgetting.retention[mine]")


def test_row_13_file_sources_and_loader_arguments(
    attack: Attack, installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (
        "file:///etc/passwd", "/etc/passwd", "file:///proc/self/environ", "hf:///etc",
        "hf://text?data_files=/proc/self/environ", "hf://json?data_files=http://169.254.169.254/latest",
        "hf://a/b?data_files=/etc/passwd", "hf://a/b?trust_remote_code=true", "hf://a/b?data_dir=/etc",
        "hf://a/b?token=x", "http://evil.example/x", "ftp://a/b", "gopher://a", "sample://nothing",
    ):  # fmt: skip
        refused_at_create(attack, installation, place)
    for place in ("file:///etc/passwd", "/proc/self/environ", "hf:///etc"):
        refused_source(attack, lambda p=place: check_local("general", p), how="the worker's own check")
    monkeypatch.setenv("RETAIN_DATA_ROOT", str(tmp_path))
    refused_source(attack, lambda: check_local("general", "/srv/other.txt"), how="outside of RETAIN_DATA_ROOT")


def test_row_14_links_out_of_the_root(attack: Attack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret.txt"
    root.mkdir()
    secret.write_text("the password")
    (root / "a.txt").write_text("plain words")
    monkeypatch.setenv("RETAIN_DATA_ROOT", str(root))
    (root / "link.txt").symlink_to(secret)
    for place in (root / "link.txt", root, f"file://{root}/link.txt"):
        said = refused_source(attack, lambda p=place: check_local("general", str(p)), how="links are resolved first")
        assert "password" not in said
    (root / "link.txt").unlink()
    (root / "folder").symlink_to("/etc")
    refused_source(attack, lambda: check_local("general", str(root)), how="links are resolved first")
    monkeypatch.delenv("RETAIN_DATA_ROOT")
    refused_source(attack, lambda: check_local("general", str(root)), how="links into /etc, without a root too")


def test_row_15_another_prefix_or_bucket(attack: Attack, installation: Installation) -> None:
    for place in (
        "s3://other-bucket/data/a.txt", "s3://retain-evil/a.txt", "s3://retain/runs/somebody/pretrain/attempt-1/x",
        "s3://retain/evaluations/x", "s3://retain/history/x", "s3://retain",
    ):  # fmt: skip
        refused_at_create(attack, installation, place)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub that the installation has chosen."""
    hub = Hub().start()
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("RETAIN_HUB_TRIES", "1")
    apart._CHILDREN.end()
    yield hub
    apart._CHILDREN.end()
    hub.stop()


def test_row_16_addresses_inside(attack: Attack, hub: Hub) -> None:
    """By address; by the card of a data set; and at the connection, where redirects and rebound names end too."""
    for address in INSIDE:
        assert not is_public(address)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        how = "refused at the connection, after every look-up"
        refused_source(attack, lambda f=family, a=address: check(f, (a, 80), frozenset()), how=how)
    with socket.create_server(("127.0.0.1", 0)) as metadata:
        target = f"http://127.0.0.1:{metadata.getsockname()[1]}/keys.jsonl"
        card = f"---\nconfigs:\n- config_name: default\n  data_files: {target}\n---\n"
        hub.add("someone/evil", {"README.md": card.encode(), "a.jsonl": b'{"text": "plain words"}\n'})
        refused_source(attack, lambda: open_source("hf://someone/evil"), how="a card names an address")
        metadata.settimeout(0.2)
        with pytest.raises(TimeoutError):
            metadata.accept()


@pytest.mark.attacks
def test_row_17_bombs(attack: Attack, tmp_path: Path) -> None:
    packed = gzip.compress(b"a" * (512 << 20), 1)
    (tmp_path / "bomb.txt.gz").write_bytes(packed)
    (tmp_path / "twice.jsonl.gz").write_bytes(gzip.compress(gzip.compress(b"\0" * (64 << 20))))
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"a" * (64 << 20))
    for name in ("bomb.zip", "bomb.jsonl"):
        (tmp_path / name).write_bytes(zipped.getvalue())
    wide = pa.table({"text": pa.array(["x" * (96 << 20)] * 12).dictionary_encode()})
    pq.write_table(wide, tmp_path / "bomb.parquet", compression="zstd")
    for name in ("bomb.txt.gz", "twice.jsonl.gz", "bomb.zip", "bomb.jsonl", "bomb.parquet"):
        refused_source(
            attack,
            lambda n=name: [len(d.plain_text()) for d in open_source(str(tmp_path / n))],
            how="in a child with bounds of memory and ratio",
        )


def test_row_18_scripts_of_loaders(attack: Attack, hub: Hub, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    script = f"open({str(ran)!r}, 'w').write('x')\n".encode()
    hub.add("someone/script", {"script.py": script, "README.md": b"# a data set\n"})
    refused_source(attack, lambda: open_source("hf://someone/script"), how="code of a data set is not run")
    folder = tmp_path / "local" / "local.py"
    folder.parent.mkdir()
    folder.write_bytes(script)
    refused_source(attack, lambda: open_source(f"hf://{folder.parent}"), how="code of a data set is not run")
    assert not ran.exists()


def test_row_19_bytes_lines_depth_and_digits(attack: Attack, tmp_path: Path) -> None:
    contents = {
        "bad.txt": b"\xff\xfe\xfa" + bytes(range(128, 256)),
        "nul.txt": b"a\0b",
        "half.jsonl": b'{"text": "\\ud800"}\n',
        "deep.jsonl": b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        "digits.jsonl": b'{"text": "a", "n": ' + b"9" * 5_000 + b"}\n" * 1,
        "open.jsonl": b'{"text": "a\n',
        "array.json": b"[" * 200_000,
        "latin.csv": b"text\n\xe9\n",
        "parquet.parquet": b"PAR1" + b"\0" * 100 + b"PAR1",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        said = refused_source(attack, lambda n=name: list(open_source(str(tmp_path / n))), how="named by line and byte")
        assert name in said
    line = tmp_path / "line.jsonl"
    with open(line, "wb") as file:
        file.write(b'{"text": "')
        for _ in range(1024):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n')
    refused_source(attack, lambda: list(open_source(str(line))), how="a line of 1 GB")


def test_row_20_evaluation_text_in_training_data(attack: Attack) -> None:
    """The exam's text is known by its content, whole or in parts, whatever source brings it; what is shared otherwise
    is told as a share. (That no shard holds it: tests/unit/model/data/test_never_trained_on.py.)"""
    held = [Document(text=" ".join(f"word{k}x{n}" for n in range(80)), origin=f"h{k}") for k in (0, 1)]
    clean = Document(text=" ".join(f"other{n}" for n in range(100)), origin="t")
    exam = HeldOut.of(held)
    assert exam.finds(Content(held[0]))
    assert not exam.finds(Content(clean))
    for documents, share, exact in (([clean], 0.0, 0), ([clean, held[0]], 0.5, 1), ([*held, clean], 1.0, 2)):
        meter = OverlapMeter({"exam": held})
        for document in documents:
            meter.see(document)
        found = meter.result()["exam"]
        assert found.share == share
        assert found.exact_documents == exact
    attack.refused("left out by content; what is shared is told with its share")
