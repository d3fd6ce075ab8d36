from __future__ import annotations

import errno
import os

import pytest

from phi3v_data.converters.engine.trouble import failure_of, machine_trouble_stops, outage_of
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
def test_the_machines_trouble_is_never_the_items_fault(error: Exception, stage: str) -> None:
    assert outage_of(error, stage)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.ENOENT])
def test_what_cannot_be_read_is_the_items_fault_and_what_cannot_be_written_is_not(code: int) -> None:
    assert outage_of(system(code), "convert") is None
    assert outage_of(system(code), "write")


@pytest.mark.parametrize("code", [errno.ENAMETOOLONG, errno.EILSEQ, errno.ENOTDIR])
def test_a_name_no_file_can_have_is_the_items_fault(code: int) -> None:
    assert outage_of(system(code), "write") is None


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


def test_a_bug_in_a_converter_names_its_line() -> None:
    with pytest.raises(KeyError) as bug:
        {}["label"]
    assert failure_of(bug.value, "convert").message.startswith("'label' (test_trouble.py, line ")


def test_the_drivers_own_trouble_stops_the_run_and_nothing_else_is_renamed() -> None:
    with pytest.raises(ConversionStopped, match="disk is full"), machine_trouble_stops():
        raise system(errno.ENOSPC)
    with pytest.raises(UsageError), machine_trouble_stops():
        raise UsageError("as it was")
    with pytest.raises(ZeroDivisionError), machine_trouble_stops():
        raise ZeroDivisionError
