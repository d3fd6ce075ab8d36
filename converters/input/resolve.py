"""From what the user gave as input to a folder of raw data: a folder, an archive, or nothing (the public copy)."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...schema.errors import InputError
from ...schema.wording import counted
from ...storage import LocalFolder, check_readable, is_remote, open_folder
from ...storage.outage import one_line
from ..base import PublicCopy
from ..rows import input_file
from .archives import ARCHIVE_SUFFIXES, extract, is_archive_name
from .hub import fetch_public_copy


def resolve_input(source: Any, given: str | None, work: Path, *, follow_links: bool = True) -> str:
    """Return the address of a folder that holds the raw data, or of a single file, where the source `takes_files`.

    Where nothing is given, the source's `public_copy` is fetched, or its method `fetch_input()` asked, if its options
    say what to fetch. An archive is unpacked once, in `work`, a local folder that outlives a killed run. Links in a
    folder that was given may lead out of it if `follow_links`.

    Raises:
        InputError: there is no such input, it is neither folder nor archive, or the archive is damaged or refused.
        HubError: the public copy cannot be fetched.
        ConversionStopped: there is no room to unpack, or no permission.
    """
    if given is None and hasattr(source, "fetch_input"):
        return str(source.fetch_input())
    if given is None:
        copy: PublicCopy | None = getattr(source, "public_copy", None)
        if copy is None:
            raise InputError(
                f"no input, and {source.name} has no public copy to fetch; give its raw data: --input PATH"
            )
        given = str(fetch_public_copy(copy))
    takes_files: tuple[str, ...] = getattr(source, "takes_files", ())
    with _read_errors(given, "no such file or folder; give a folder of raw data, or an archive of one"):
        if is_remote(given):
            address = given
            is_file = is_archive_name(given) or bool(input_file(open_folder(given), takes_files).name)
        else:
            path = Path(given.removeprefix("file://")).expanduser().absolute()
            address, is_file = str(path), stat.S_ISREG(path.stat().st_mode)
    if not is_file:
        folder = open_folder(address)
        check_readable(folder)
        if isinstance(folder, LocalFolder) and not follow_links:
            _refuse_links_out(folder.path)
    elif not address.lower().endswith((*takes_files, *ARCHIVE_SUFFIXES)):
        suffixes = " ".join((*takes_files, *ARCHIVE_SUFFIXES))
        raise InputError(
            f"{given}: neither a folder nor a file that is read here ({suffixes}); unpack it, and give the folder"
        )
    elif is_archive_name(address):
        return _unpacked(address, given, work)
    return address


@contextmanager
def _read_errors(given: str, absent: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{given}: {absent}") from None
    except OSError as error:
        raise InputError(f"{given}: cannot be read ({error.strerror or one_line(error)}); make it readable") from error


def _refuse_links_out(folder: Path) -> None:
    root = folder.resolve()
    below = (Path(parent, name) for parent, folders, files in os.walk(root) for name in (*folders, *files))
    # A link that leads nowhere, or to itself, is its reader's to name.
    links = (path for path in below if path.is_symlink() and path.exists())
    found = sorted(path.relative_to(root).as_posix() for path in links if not path.resolve().is_relative_to(root))
    if found:
        raise InputError(
            f"{folder}: {counted(len(found), 'link')} to places outside, such as {found[0]}; remove what is not meant, "
            "or rerun without --no-follow-links"
        )


def _unpacked(address: str, given: str, work: Path) -> str:
    parent, _, name = address.rpartition("/")
    folder = open_folder(parent or "/")
    with _read_errors(given, "no such archive"):
        identity = f"{folder.address}/{name}\n{folder.fingerprint(name)}"
        target = work / f"input-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:16]}"
        if target.is_dir():
            return str(target)
        archive = folder.open(name)
    # It gets its name when it is complete; a killed run leaves one without.
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with archive:
            files = extract(archive, given, partial)
        if not files:
            raise InputError(f"{given}: no files in it; expected an archive of raw data")
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return str(target)
