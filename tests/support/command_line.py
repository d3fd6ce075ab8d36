"""A command run in this process as if it had been typed, and places that nothing can be read from or written to."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from phi3v_data.cli.main import answer

# From <linux/capability.h>: version 3 of the call; the first word of effective capabilities holds those that pass over
# permissions, CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
_VERSION = 0x20080522
_DAC = 1 << 1 | 1 << 2


class Answer(NamedTuple):
    """The exit code of a command, and what it wrote."""

    code: int
    out: str
    err: str


def typed(capfd: pytest.CaptureFixture[str], *arguments: str) -> Answer:
    """Run a command; tracebacks of threads and the lines of libraries are seen, too."""
    capfd.readouterr()
    code = answer(list(arguments))
    out, err = capfd.readouterr()
    return Answer(code, out, err)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Let permissions hold for this thread for the length of the block, also for root."""
    if os.geteuid() != 0:
        yield
        return
    held = _capabilities()
    _set_capabilities((held[0] & ~_DAC, *held[1:]))
    try:
        yield
    finally:
        _set_capabilities(held)


def _capabilities() -> tuple[int, ...]:
    words = (ctypes.c_uint32 * 6)()
    _call("capget", words)
    return tuple(words)


def _set_capabilities(held: tuple[int, ...]) -> None:
    _call("capset", (ctypes.c_uint32 * 6)(*held))


def _call(name: str, words: ctypes.Array[ctypes.c_uint32]) -> None:
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    if getattr(ctypes.CDLL(None, use_errno=True), name)(header, words):
        raise OSError(ctypes.get_errno(), name)


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Make a folder a disk without a free byte for the length of the block; skips where nothing can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k,mode=0777", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        (folder / "full").write_bytes(bytes(1 << 14))
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
