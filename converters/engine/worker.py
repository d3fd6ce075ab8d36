"""A worker process: reads work from a pipe, writes outcomes to it, and ends with it."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection

import msgspec

from ...schema.errors import Phi3VDataError
from .messages import Halted, Job, Work, encode
from .trouble import one_line
from .work import Worker

__all__ = ["READY", "serve"]

# The first answer of a worker that came up.
READY = b"ready"


def serve(handle: int) -> None:
    """Work until the other end of the pipe is closed.

    Args:
        handle: file descriptor of a duplex pipe.
    """
    # Parallel work is done by processes; threads of the numeric libraries would only be in each other's way.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    connection = Connection(handle)
    works = msgspec.json.Decoder(Work)
    try:
        worker = Worker(msgspec.json.decode(connection.recv_bytes(), type=Job))
    except Phi3VDataError as error:
        connection.send_bytes(encode(Halted(-1, one_line(error))))
        return
    try:
        connection.send_bytes(READY)
        while True:
            connection.send_bytes(encode(worker.convert(works.decode(connection.recv_bytes()))))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver has ended or needs no more
