"""Annotations against a server that speaks Grafana's HTTP API and refuses what Grafana refuses."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from services.common.errors import InvalidInput
from services.common.grafana_annotations import GrafanaAnnotations

TOKEN, VIEWER, WRITER = "glsa_right", "glsa_viewer", "glsa_may_only_write"


class Grafana(ThreadingHTTPServer):
    """Annotations as Grafana has them, in memory. GET finds those that carry every tag asked for; POST adds one.

    401 for an unknown token, 403 for one without the right, 400 for a body that Grafana refuses, 500 on demand;
    `loses_reply`: the next annotation is added and the connection closed without a word.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.annotations: list[dict] = []
        self.broken = self.loses_reply = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Grafana

    def do_GET(self) -> None:
        if not self._allowed(TOKEN, VIEWER):
            return
        query = parse_qs(urlsplit(self.path).query)
        limit = int(query.get("limit", ["100"])[0])
        asked = set(query.get("tags", []))
        found = [a for a in self.server.annotations if asked <= set(a["tags"])]
        self._answer(200, found[:limit])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._allowed(TOKEN, WRITER):
            return None
        if self.headers.get_content_type() != "application/json":
            return self._answer(415, {"message": "Unsupported media type"})
        document = json.loads(body)
        if not document.get("text"):
            return self._answer(400, {"message": "Failed to save annotation: text field should not be empty"})
        if not isinstance(document.get("time"), int) or not all(isinstance(tag, str) for tag in document["tags"]):
            return self._answer(400, {"message": "bad request data"})
        self.server.annotations.append(document)
        if self.server.loses_reply:
            self.server.loses_reply = False
            self.close_connection = True
            return None
        return self._answer(200, {"message": "Annotation added", "id": len(self.server.annotations)})

    def _allowed(self, *tokens: str) -> bool:
        """Whether to continue; otherwise the refusal has been sent."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in (TOKEN, VIEWER, WRITER):
            self._answer(401, {"message": "Invalid API key"})
        elif urlsplit(self.path).path not in ("/api/annotations", "/grafana/api/annotations"):
            self._answer(404, {"message": "Not found"})
        elif token not in tokens:
            self._answer(403, {"message": "You'll need additional permissions to perform this action."})
        elif self.server.broken:
            self._answer(500, {"message": "Failed to save annotation"})
        else:
            return True
        return False

    def _answer(self, status: int, document: object) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    server = Grafana()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_decision_is_drawn_at_its_time_with_its_tags(grafana: Grafana):
    annotations = GrafanaAnnotations(grafana.url, TOKEN)
    assert annotations.draw("ADJUST: share 0.10 -> 0.20", tags=["run:r1"], time_s=1_700_000_000.25)
    (drawn,) = grafana.annotations
    assert (drawn["time"], drawn["text"]) == (1_700_000_000_250, "ADJUST: share 0.10 -> 0.20")
    assert drawn["tags"] == ["retain-decision", "run:r1"]


def test_grafana_behind_a_prefix(grafana: Grafana):
    assert GrafanaAnnotations(f"{grafana.url}/grafana/", TOKEN).draw("ACCEPT")
    assert len(grafana.annotations) == 1


def test_a_decision_whose_reply_was_lost_is_drawn_once(grafana: Grafana):
    annotations = GrafanaAnnotations(grafana.url, TOKEN)
    grafana.loses_reply = True
    first = ["run:r1", "stage:midtrain/code", "decision:4"]
    assert annotations.draw("ADJUST", tags=first) is False
    assert annotations.draw("ADJUST", tags=first) is True
    assert len(grafana.annotations) == 1
    assert annotations.draw("ACCEPT", tags=[*first[:2], "decision:5"])
    assert annotations.draw("ADJUST", tags=["run:r2", *first[1:]])
    assert [a["tags"][-1] for a in grafana.annotations] == ["decision:4", "decision:5", "decision:4"]


def test_a_token_that_may_not_read_draws_and_one_that_may_not_write_does_not(grafana: Grafana):
    assert GrafanaAnnotations(grafana.url, WRITER).draw("ADJUST", tags=["run:r1"])
    assert GrafanaAnnotations(grafana.url, VIEWER).draw("ADJUST", tags=["run:r2"]) is False
    assert [a["tags"] for a in grafana.annotations] == [["retain-decision", "run:r1"]]


@pytest.mark.parametrize("fault", ["token", "text", "server", "away"])
def test_what_goes_wrong_is_said_and_disturbs_nothing(grafana: Grafana, fault: str):
    grafana.broken = fault == "server"
    url = "http://127.0.0.1:1" if fault == "away" else grafana.url
    annotations = GrafanaAnnotations(url, "wrong" if fault == "token" else TOKEN)
    assert annotations.draw("" if fault == "text" else "STOP") is False
    assert grafana.annotations == []


def test_it_is_off_without_a_url_and_half_a_setting_is_refused():
    assert GrafanaAnnotations.from_env({}) is None
    with pytest.raises(InvalidInput, match="RETAIN_GRAFANA_TOKEN"):
        GrafanaAnnotations.from_env({"RETAIN_GRAFANA_URL": "http://grafana:3000"})
    with pytest.raises(InvalidInput, match="http"):
        GrafanaAnnotations("grafana:3000", TOKEN)
