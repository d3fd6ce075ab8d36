from __future__ import annotations

import errno
import os

import pytest

from phi3v_data.storage.outage import is_transient, one_line, outage


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class Answered(Exception):
    """As clients of stores say what the store has answered."""

    __module__ = "botocore.exceptions"
    response = {"Error": {"Code": "404"}}  # noqa: RUF012 - as botocore has it


class Unreached(Exception):
    """As clients of stores say that there was no answer."""

    __module__ = "botocore.exceptions"


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        TimeoutError("slow"),
        Unreached("no route"),
        OSError(errno.EBUSY, "slow down"),
        chained(ValueError("no image"), Unreached("no route")),
    ],
    ids=repr,
)
def test_what_comes_from_a_connection_or_a_busy_store_is_transient(error: Exception) -> None:
    assert is_transient(error)
    assert outage(error)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "no such key"),
        PermissionError(errno.EACCES, "denied"),
        chained(FileNotFoundError(errno.ENOENT, "no such key"), Answered("404")),
        ValueError("no image"),
    ],
    ids=repr,
)
def test_what_a_store_has_answered_does_not_change_and_is_no_outage(error: Exception) -> None:
    assert not is_transient(error)
    assert outage(error) is None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM])
def test_errors_of_the_machine_itself_are_not_transient(code: int) -> None:
    error = OSError(code, os.strerror(code))
    assert not is_transient(error)
    assert outage(error)


def test_a_system_error_keeps_its_words_and_its_file() -> None:
    assert one_line(OSError(errno.ENOENT, "No such file", "a/b.png")) == "No such file: a/b.png"
    assert one_line(ValueError("two\nlines")) == "two lines"
