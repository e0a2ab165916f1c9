"""A fake platform on a real port, and the command pointed at it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.fakes.orchestrator_service import FakePlatform
from ui.cli import app
from ui.client import Address
from ui.client.client import RetainClient


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[FakePlatform]:
    """A running fake; RETAIN_* name it, and RETAIN_HOME is a new folder."""
    fake = FakePlatform()
    address = fake.start()
    for name in ("RETAIN_TOKEN", "RETAIN_TLS_CA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RETAIN_SERVER", address)
    monkeypatch.setenv("RETAIN_EVALUATOR", address)
    monkeypatch.setenv("RETAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    yield fake
    fake.stop()


@pytest.fixture
def client(platform: FakePlatform) -> Iterator[RetainClient]:
    with RetainClient(Address.from_env()) as made:
        yield made


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)


@pytest.fixture
def retain() -> Callable[..., Outcome]:
    """Runs `retain` with arguments, in this process."""

    def run(*arguments: str, stdin: str | None = None) -> Outcome:
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(code=result.exit_code, out=result.stdout, err=result.stderr)

    return run
