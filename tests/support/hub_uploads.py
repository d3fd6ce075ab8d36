"""A hub on loopback that takes uploads: repositories that are made, their visibility, and the files of each commit."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_COMMIT = "c0ffee" + "0" * 34


@dataclass
class Uploads:
    """What was made and uploaded; `private` and `files` by repository, `cards` that were sent to be validated.

    `refusal` answers everything with that status.
    """

    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    cards: list[str] = field(default_factory=list)
    refusal: int | None = None
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def log_message(self, *_: object) -> None:
        """Say nothing; pytest shows what matters."""

    def do_GET(self) -> None:
        uploads, repository = self.server.uploads, self._repository()
        if uploads.refusal is not None:
            self._answer(uploads.refusal, {"error": "refused"})
        elif repository not in uploads.private:
            self._answer(404, {"error": "not found"}, code="RepoNotFound")
        else:
            self._answer(
                200, {"id": repository, "sha": _COMMIT, "private": uploads.private[repository], "siblings": []}
            )

    def do_POST(self) -> None:
        uploads, path = self.server.uploads, self.path.partition("?")[0]
        body = self._body()
        if uploads.refusal is not None:
            self._answer(uploads.refusal, {"error": "refused"})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            uploads.private.setdefault(name, bool(asked.get("private") or asked.get("visibility") == "private"))
            self._answer(200, {"url": f"{uploads.endpoint}/{self._kind(asked)}{name}", "name": name, "id": name})
        elif path == "/api/validate-yaml":
            uploads.cards.append(json.loads(body)["content"])
            self._answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            asked = json.loads(body)["files"]
            modes = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in asked]
            self._answer(200, {"files": modes})
        elif "/commit/" in path:
            kept = uploads.files.setdefault(self._repository(), {})
            for line in body.splitlines():
                part = json.loads(line)
                if part["key"] == "file":
                    kept[part["value"]["path"]] = base64.b64decode(part["value"]["content"])
            url = f"{uploads.endpoint}/{self._repository()}/commit/{_COMMIT}"
            self._answer(200, {"commitOid": _COMMIT, "commitUrl": url, "success": True})
        else:
            self._answer(404, {"error": f"nothing at {path}"})

    def _repository(self) -> str:
        parts = self.path.partition("?")[0].split("/")
        return "/".join(parts[3:5])

    @staticmethod
    def _kind(asked: dict[str, str]) -> str:
        return "datasets/" if asked.get("type") == "dataset" else ""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, content: object, code: str = "") -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        self.wfile.write(body)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, uploads: Uploads) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.uploads = uploads
        uploads.port = self.server_address[1]


@contextmanager
def serve_uploads() -> Iterator[Uploads]:
    """A hub that holds nothing yet, as long as the block lasts."""
    listener = _Listener(Uploads())
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield listener.uploads
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
