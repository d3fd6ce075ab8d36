"""A folder to write a dataset to: free and writable, or nothing is begun; there whole at the end, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from ...storage import Folder, LocalFolder, check_writable, is_remote, open_folder
from ...storage.outage import one_line
from ..errors import OutputError
from ..layout import BEFORE_FIX


@contextlib.contextmanager
def new_folder(address: str) -> Iterator[Folder]:
    """Give a folder to write into, which lies at an address on leaving the block; if the block raises, nothing does.

    On this machine it is written beside its place, and moved there. On an object store it is written where it is to be,
    and what was written is removed if the block raises.

    Args:
        address: of a folder that is empty or not there yet.

    Raises:
        OutputError: the place is taken, or cannot be written.
    """
    if is_remote(address):
        with _on_store(open_folder(address)) as folder:
            yield folder
        return
    # "." and a link are names of it; what is renamed is the folder itself.
    place = Path(address.removeprefix("file://")).resolve()
    with _os_errors(address):
        taken = os.path.lexists(place) and not (place.is_dir() and not any(place.iterdir()))
    if taken:
        what = "not empty" if place.is_dir() else "not a folder"
        raise OutputError(f"{address}: {what}; name a folder that is not there yet in --out")
    check_writable(LocalFolder(Path(address.removeprefix("file://")).parent))
    with _written_beside(place) as folder:
        yield folder
        with _os_errors(address):
            if place.is_dir():
                place.rmdir()
            folder.path.rename(place)


@contextlib.contextmanager
def in_place_of(address: str) -> Iterator[LocalFolder]:
    """Give a folder to write into, which takes the place of another on leaving the block; that one is moved aside.

    Args:
        address: of the dataset folder that is there now.

    Yields:
        The folder; what was there lies at `aside(address)` afterwards, as that was before the block.

    Raises:
        OutputError: it is not a folder on this machine, or beside it nothing can be written.
    """
    place = Path(address.removeprefix("file://"))
    if is_remote(address) or not place.is_dir():
        raise OutputError(f"{address}: only a dataset folder on this machine is fixed in place; give --out DIR")
    check_writable(LocalFolder(place.parent))
    place = place.resolve()
    with _written_beside(place) as folder:
        yield folder
        with _os_errors(address):
            old = Path(aside(str(place)))
            place.rename(old)
            try:
                folder.path.rename(place)
            except OSError:
                old.rename(place)
                raise


def aside(address: str) -> str:
    """Return the address that a folder is moved to before another takes its place: the first that is free."""
    place = Path(address.removeprefix("file://")).resolve()
    number = 1
    while True:
        end = f"-{number}" if number > 1 else ""
        candidate = place.with_name(f"{place.name}{BEFORE_FIX}{end}")
        if not os.path.lexists(candidate):
            return str(candidate)
        number += 1


@contextlib.contextmanager
def _written_beside(place: Path) -> Iterator[LocalFolder]:
    beside = place.parent / f".{place.name}.{uuid.uuid4().hex[:8]}"
    with _os_errors(str(place)):
        beside.mkdir(parents=True)
    try:
        yield LocalFolder(beside)
    finally:
        # Where all went well it has another name by now.
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def _on_store(folder: Folder) -> Iterator[Folder]:
    with _os_errors(folder.address):
        if folder.exists("") and folder.list():
            raise OutputError(f"{folder.address}: not empty; name a folder that is not there yet in --out")
        folder.write("probe", b"")
        folder.delete("probe")
    try:
        yield folder
    except BaseException:
        with contextlib.suppress(OSError):
            for entry in folder.list():
                folder.delete(entry.name)
        raise


@contextlib.contextmanager
def _os_errors(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{address}: cannot be written ({one_line(error)}); name another folder in --out") from error
