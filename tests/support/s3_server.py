"""A real S3 server on loopback, for as long as a test module needs one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import fsspec
import pytest

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class S3Server:
    """A server that goes away and comes back, at one address and with all it held."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._port = 0
        self.start()
        self._port = self._server.get_host_and_port()[1]
        # A forked child would keep the port open when the server has gone.
        os.register_at_fork(after_in_child=self._let_go)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()
        # Without it the port would still take connections, and never answer them.
        self._let_go()

    def _let_go(self) -> None:
        self._server._server.server_close()


@contextmanager
def s3_server(*, conditional: bool = True) -> Iterator[tuple[str, int]]:
    """Run the server; yields its host and port.

    Args:
        conditional: it writes with If-Match and If-None-Match only where the condition holds, as S3 does; else always,
            as some stores do that speak S3's protocol.
    """
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    if not conditional:
        server._server.app = _without_conditions(server._server.app)
    # fsspec keeps clients by their arguments, and the endpoint is none of those: one of an earlier server would be
    # taken again.
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    try:
        yield server.get_host_and_port()
    finally:
        server.stop()
        fsspec.get_filesystem_class("s3").clear_instance_cache()


def _without_conditions(application: WSGIApplication) -> WSGIApplication:
    def passed_on(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        for header in ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"):
            environ.pop(header, None)
        return application(environ, start_response)

    return passed_on


@contextmanager
def credentials(endpoint: str) -> Iterator[pytest.MonkeyPatch]:
    """Let every client in this process, and in those it starts, talk to a server at this address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "tests")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        yield patch
