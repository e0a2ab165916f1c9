"""Annotations against a server that speaks Grafana's HTTP API and refuses what Grafana refuses."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from services.common.errors import InvalidInput
from services.common.grafana_annotations import GrafanaAnnotations

TOKEN = "glsa_right"


class Grafana(ThreadingHTTPServer):
    """POST /api/annotations: 401 for a wrong token, 400 for a body that Grafana refuses, 500 on demand."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.annotations: list[dict] = []
        self.broken = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Grafana

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"message": "Invalid API key"})
        if self.path not in ("/api/annotations", "/grafana/api/annotations"):
            return self._answer(404, {"message": "Not found"})
        if self.server.broken:
            return self._answer(500, {"message": "Failed to save annotation"})
        document = json.loads(body)
        if not document.get("text"):
            return self._answer(400, {"message": "Failed to save annotation: text field should not be empty"})
        if not isinstance(document.get("time"), int) or not all(isinstance(tag, str) for tag in document["tags"]):
            return self._answer(400, {"message": "bad request data"})
        self.server.annotations.append(document)
        return self._answer(200, {"message": "Annotation added", "id": len(self.server.annotations)})

    def _answer(self, status: int, document: dict) -> None:
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
