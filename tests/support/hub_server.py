"""A small Hugging Face hub on loopback: real HTTP, the hub's own headers, and accidents on request.

Files stored apart (LFS) are announced with their SHA-256 and served, after a redirect, from another origin, as the real
hub does. The client reads its environment once, when it is imported, so it belongs in a process of its own that is
started with `HubServer.environment`.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

COMMIT = "c0ffee" + "0" * 34


@dataclass
class HubFile:
    """A file of a repository: its bytes, whether it is stored apart, and the hash that is announced for it."""

    data: bytes
    is_lfs: bool = True
    announced: str | None = None

    @property
    def etag(self) -> str:
        if self.announced is not None:
            return self.announced
        if self.is_lfs:
            return hashlib.sha256(self.data).hexdigest()
        return hashlib.sha1(b"blob %d\0%s" % (len(self.data), self.data)).hexdigest()


@dataclass
class HubServer:
    """What the hub holds, what it was asked (ranges of bodies, tokens by first part of the path), what goes wrong.

    `repositories` maps `datasets/owner/name` or `owner/name` (a model) to files by path. `accidents` happen to the next
    bodies sent, one each: after so many bytes the connection is "closed" at once, or held and then "reset" when
    `release` is set.
    `refusal` is a status and an `X-Error-Code` that answer everything.
    """

    repositories: dict[str, dict[str, HubFile]] = field(default_factory=dict)
    accidents: list[tuple[int, str]] = field(default_factory=list)
    refusal: tuple[int, str] | None = None
    ranges: list[str | None] = field(default_factory=list)
    tokens: set[tuple[str, str]] = field(default_factory=set)
    held: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, repository: str, path: str, data: bytes, is_lfs: bool = True, announced: str | None = None) -> None:
        self.repositories.setdefault(repository, {})[path] = HubFile(data, is_lfs, announced)

    def environment(self, cache: Path, **more: str) -> dict[str, str]:
        """Return the environment of a client whose cache lies in this folder."""
        ours = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(cache),
            "XDG_CACHE_HOME": str(cache),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        return {**kept, **ours, **more}

    def storage_file(self, digest: str) -> HubFile:
        return next(f for files in self.repositories.values() for f in files.values() if f.etag == digest)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Say nothing; pytest shows what matters."""

    def _answer(self) -> None:
        hub, path = self.server.hub, unquote(urlsplit(self.path).path).lstrip("/")
        if "Authorization" in self.headers:
            hub.tokens.add((path.partition("/")[0], self.headers["Authorization"]))
        if path.startswith("storage/"):
            self._send_file(hub.storage_file(path.removeprefix("storage/")), {})
        elif hub.refusal:
            self._send_json(*hub.refusal)
        elif path.startswith("api/"):
            self._answer_api(path.removeprefix("api/"))
        else:
            repository, _, rest = path.partition("/resolve/")
            self._answer_file(repository, rest.partition("/")[2])

    def _answer_file(self, repository: str, path: str) -> None:
        files = self.server.hub.repositories.get(repository)
        if files is None:
            return self._send_json(404, "RepoNotFound")
        if path not in files:
            return self._send_json(404, "EntryNotFound")
        file = files[path]
        if not file.is_lfs:
            return self._send_file(file, {"X-Repo-Commit": COMMIT, "ETag": f'"{file.etag}"'})
        self.send_response(302)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-ETag", f'"{file.etag}"')
        self.send_header("X-Linked-Size", str(len(file.data)))
        self.send_header("Location", f"http://localhost:{self.server.hub.port}/storage/{file.etag}")
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def _answer_api(self, path: str) -> None:
        kind, _, rest = path.partition("/")
        repository, question, asked = _parted(rest)
        files = self.server.hub.repositories.get(repository if kind == "models" else f"{kind}/{repository}")
        if files is None:
            return self._send_json(404, "RepoNotFound")
        revision, _, folder = asked.partition("/")
        if revision not in ("", "main", COMMIT):
            return self._send_json(404, "RevisionNotFound")
        if question == "tree":
            entries = _tree(files, folder, is_recursive="recursive=true" in self.path.lower())
            return self._send_json(200, "", entries) if entries else self._send_json(404, "EntryNotFound")
        if question == "paths-info":
            return self._send_json(200, "", [e for p in self._asked_paths() for e in _path_info(files, p)])
        siblings = [{"rfilename": name} for name in files]
        return self._send_json(200, "", {"id": repository, "sha": COMMIT, "private": False, "siblings": siblings})

    def _asked_paths(self) -> list[str]:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.headers["Content-Type"].startswith("application/json"):
            paths: list[str] = json.loads(body)["paths"]
            return paths
        return parse_qs(body)["paths"]

    def _send_json(self, status: int, code: str, content: object = None) -> None:
        body = json.dumps({"error": code} if content is None else content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_file(self, file: HubFile, headers: dict[str, str]) -> None:
        hub, asked = self.server.hub, self.headers["Range"]
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        body = file.data[start:]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(file.data) - 1}/{len(file.data)}")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "GET":
            return
        hub.ranges.append(asked)
        after, accident = hub.accidents.pop(0) if hub.accidents else (len(body), "")
        self.wfile.write(body[:after])
        if accident:
            self._have(accident)

    def _have(self, accident: str) -> None:
        hub = self.server.hub
        self.close_connection = True
        if accident == "reset":
            hub.held.set()
            hub.release.wait(60)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def _parted(rest: str) -> tuple[str, str, str]:
    """Part `owner/name/tree/main/folder` into the repository, what is asked, and of what."""
    for question in ("tree", "paths-info", "revision"):
        repository, found, asked = rest.partition(f"/{question}/")
        if found:
            return repository, question, asked
    return rest, "", ""


def _tree(files: dict[str, HubFile], folder: str, is_recursive: bool) -> list[dict[str, object]]:
    start = f"{folder}/" if folder else ""
    below = {name: file for name, file in files.items() if name.startswith(start)}
    folders = {str(parent) for name in below for parent in PurePosixPath(name).parents if f"{parent}/" > start}
    folders -= {".", folder}
    entries = [_folder_entry(name) for name in sorted(folders) if is_recursive or "/" not in name.removeprefix(start)]
    shown = {name: file for name, file in below.items() if is_recursive or "/" not in name.removeprefix(start)}
    return entries + [_tree_entry(name, file) for name, file in shown.items()]


def _path_info(files: dict[str, HubFile], path: str) -> list[dict[str, object]]:
    if path in files:
        return [_tree_entry(path, files[path])]
    return [_folder_entry(path)] if any(name.startswith(f"{path}/") for name in files) else []


def _folder_entry(name: str) -> dict[str, object]:
    return {"type": "directory", "path": name, "size": 0, "oid": hashlib.sha1(name.encode()).hexdigest()}


def _tree_entry(name: str, file: HubFile) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(file.data), "oid": file.etag}
    if file.is_lfs:
        entry["lfs"] = {"oid": file.etag, "size": len(file.data), "pointerSize": 134}
    return entry


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: HubServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub
        hub.port = self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away are part of the tests."""


@contextmanager
def serve() -> Iterator[HubServer]:
    """A hub that holds nothing yet, as long as the block lasts."""
    server = HubServer()
    listener = _Listener(server)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        listener.shutdown()
        listener.server_close()
        thread.join()


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub that holds nothing yet."""
    with serve() as server:
        yield server
