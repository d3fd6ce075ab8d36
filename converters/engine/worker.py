"""A worker process: reads work from a pipe, writes outcomes to it, and ends with it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from multiprocessing.connection import Connection

import msgspec

from ...schema.errors import Phi3VDataError
from .messages import Halted, Job, Work, encode
from .trouble import one_line
from .work import Worker

__all__ = ["READY", "serve"]

_PR_SET_PDEATHSIG = 1

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
    _end_with_the_driver()
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


def _end_with_the_driver() -> None:
    # A killed driver closes the pipe, but a worker at a long item would only notice after it.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
