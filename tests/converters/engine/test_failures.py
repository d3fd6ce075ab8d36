from __future__ import annotations

import errno
import os
import tempfile

import pytest

from phi3v_data.converters.engine.failures import LONGEST_MESSAGE, failure_of, outage_of, portable, stop_on_outage
from phi3v_data.schema.errors import ConversionStopped, ItemError, MediaError, UsageError


def system(code: int) -> OSError:
    return OSError(code, os.strerror(code), "some/file")


@pytest.mark.parametrize("stage", ["convert", "encode", "write"])
@pytest.mark.parametrize(
    "error",
    [
        *(system(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENOMEM, errno.EIO)),
        MemoryError(),
        ConnectionResetError("reset"),
        TimeoutError("slow"),
    ],
    ids=repr,
)
def test_an_outage_of_the_machine_is_never_blamed_on_the_item(error: Exception, stage: str) -> None:
    assert outage_of(error, stage)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.ENOENT])
def test_what_cannot_be_read_is_blamed_on_the_item_and_what_cannot_be_written_is_not(code: int) -> None:
    assert outage_of(system(code), "convert") is None
    assert outage_of(system(code), "write")


def test_a_full_disk_is_found_behind_the_error_it_was_turned_into() -> None:
    wrapped = MediaError("no frame")
    wrapped.__cause__ = system(errno.ENOSPC)
    assert outage_of(wrapped, "convert") == "the disk is full (No space left on device: some/file)"


@pytest.mark.parametrize(
    ("error", "stage", "expected"),
    [
        (MediaError("cut in\nhalf"), "convert", ("decode", "MediaError", "cut in half")),
        (ItemError("two labels"), "convert", ("convert", "ItemError", "two labels")),
        (system(errno.ENOENT), "convert", ("open", "FileNotFoundError", "No such file or directory: some/file")),
        (ItemError("no such name"), "write", ("write", "ItemError", "no such name")),
    ],
)
def test_a_failure_names_stage_class_and_message_on_one_line(
    error: Exception, stage: str, expected: tuple[str, str, str]
) -> None:
    failure = failure_of(error, stage)
    assert (failure.stage, failure.exception, failure.message) == expected


ROOTS = ("/home/me/raw data", "s3://bucket/raw", "/data")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no frame in /home/me/raw data/train/a.avi", "no frame in train/a.avi"),
        ("Invalid data: '/data/out/images/x.jpg'", "Invalid data: 'out/images/x.jpg'"),
        ("no s3://bucket/raw/x.png", "no x.png"),
        ("cannot read /usr/lib/libthing.so (broken)", "cannot read libthing.so (broken)"),
        ("C:\\Users\\me\\a.png is cut", "a.png is cut"),
        (f"in {tempfile.gettempdir()}/tmpab12_x/a.avi", "in a.avi"),
        (f"in {tempfile.gettempdir()}/tmpab12_x", "in (a temporary file)"),
        ("in .partial/0123456789abcdef0123456789abcdef", "in (a temporary file)"),
        ("image <_io.BytesIO object at 0x7f1f4d2bb880>", "image <_io.BytesIO object at 0x...>"),
        ("50/50 or 1/2, and/or https://a.org/b/c", "50/50 or 1/2, and/or https://a.org/b/c"),
        ("a lone \udcff byte", "a lone \\udcff byte"),
    ],
)
def test_a_message_of_the_dataset_holds_nothing_of_the_machine(text: str, expected: str) -> None:
    assert portable(text, ROOTS) == expected


@pytest.mark.parametrize("error", [ItemError("x" * 5_000_000), KeyError("/a/" * 2_000_000)])
def test_a_message_of_the_dataset_is_bounded_and_still_names_the_line(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        raise error
    message = failure_of(raised.value, "convert").message
    assert len(message) <= LONGEST_MESSAGE
    assert "..." in message
    assert ("test_failures.py, line" in message) == isinstance(error, KeyError)


def test_a_bug_in_a_converter_names_its_line() -> None:
    with pytest.raises(KeyError) as bug:
        dict[str, str]()["label"]
    assert failure_of(bug.value, "convert").message.startswith("'label' (test_failures.py, line ")


def test_an_outage_in_the_driver_stops_the_run_and_nothing_else_is_renamed() -> None:
    with pytest.raises(ConversionStopped, match="disk is full"), stop_on_outage():
        raise system(errno.ENOSPC)
    with pytest.raises(UsageError), stop_on_outage():
        raise UsageError("as it was")
    with pytest.raises(ZeroDivisionError), stop_on_outage():
        raise ZeroDivisionError
