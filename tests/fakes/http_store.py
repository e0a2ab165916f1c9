"""An object store as presigned URLs show it, for tests: real HTTP, bytes in memory."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeStore:
    """An HTTP server that keeps what is PUT and gives it back on GET: the object store behind presigned URLs.

    The next GETs are answered with `statuses` in turn, and of a body at most the next of `cut_after` bytes are sent
    before the connection is closed. `asked` holds (path, Range or "") of every GET.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.statuses: list[int] = []
        self.cut_after: list[int] = []
        self.asked: list[tuple[str, str]] = []
        self.knows_ranges = True
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                store.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(200, b"")

            def do_GET(self) -> None:
                wanted = self.headers.get("Range", "")
                store.asked.append((self.path, wanted))
                if store.statuses and (status := store.statuses.pop(0)) != 200:
                    self._answer(status, b"")
                    return
                body = store.objects.get(self.path)
                if body is None:
                    self._answer(404, b"")
                elif wanted and store.knows_ranges:
                    first = int(wanted.removeprefix("bytes=").removesuffix("-"))
                    self._answer(206 if first < len(body) else 416, body[first:])
                else:
                    self._answer(200, body)

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                cut = store.cut_after.pop(0) if store.cut_after and self.command == "GET" else len(body)
                self.wfile.write(body[:cut])
                if cut < len(body):
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
