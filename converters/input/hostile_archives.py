"""What stops a hostile archive: every rule by which a member, or the whole archive, is refused.

- A member must stay in the folder: no absolute name, no `..`, no backslash, no zero byte (`check_name`).
- It must be a plain file or a folder: no link, no device, no sparse file, nothing encrypted (`archives`, where each
  format's own words for them are known).
- It must not take the place of another, also where a file system ignores case or Unicode form (`TakenPaths`).
- All of them together must not expand beyond the `Limits` (`Meter`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...storage import name_key

_ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:")


class RefusedMember(Exception):
    """A member is refused; the message goes on after its name: "is a link"."""


@dataclass(frozen=True)
class Limits:
    """How far an archive may expand; members are files and folders, those passed over included."""

    total: int = 1 << 40  # bytes that may come out of it
    ratio: int = 200  # bytes for each of its own: video hardly compresses, text by 3 to 20
    harmless: int = 1 << 26  # bytes up to which the ratio does not matter
    members: int = 2_000_000


class Meter:
    """Counts what comes out of an archive of so many bytes; each count that is over a limit raises RefusedMember."""

    def __init__(self, size: int, limits: Limits) -> None:
        self._members_left = limits.members
        self._bytes_left = min(limits.total, max(limits.harmless, limits.ratio * size))

    def count_member(self) -> None:
        """Count one member."""
        self._members_left -= 1
        if self._members_left < 0:
            raise RefusedMember("is one of too many members")

    def count_bytes(self, number: int) -> None:
        """Count bytes that came out."""
        self._bytes_left -= number
        if self._bytes_left < 0:
            raise RefusedMember("expands too far for the size of the archive")


class TakenPaths:
    """The paths that members have so far, as a file system sees them that ignores case and Unicode form."""

    def __init__(self) -> None:
        # By each path's key: how it was spelled, and whether it is a folder.
        self._taken: dict[str, tuple[str, bool]] = {}

    def take(self, path: str, *, is_folder: bool) -> None:
        """Take a path and the folders above it for a member; RefusedMember where another has one of them."""
        above = [path[:at] for at, character in enumerate(path) if character == "/"]
        for folder in [*above, path] if is_folder else above:
            spelled, is_folder_too = self._taken.setdefault(name_key(folder), (folder, True))
            if spelled != folder or not is_folder_too:
                raise RefusedMember(f"takes the place of {shown(spelled)}")
        if not is_folder:
            if earlier := self._taken.get(name_key(path)):
                raise RefusedMember(f"takes the place of {shown(earlier[0])}")
            self._taken[name_key(path)] = (path, False)


def check_name(name: str) -> None:
    """Make sure that a member's name stays in the folder; else RefusedMember."""
    if _ABSOLUTE.match(name):
        raise RefusedMember("has an absolute name")
    if "\\" in name or "\0" in name:
        raise RefusedMember("has a backslash or a zero byte in its name")
    if ".." in name.split("/"):
        raise RefusedMember("leaves the folder")


def shown(name: str) -> str:
    """Return a member's name as messages show it: in ASCII, and not longer than a line."""
    return ascii(name if len(name) <= 200 else f"{name[:200]}...")
