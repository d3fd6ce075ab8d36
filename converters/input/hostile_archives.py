"""What stops a hostile archive: every rule by which a member, or the whole archive, is refused.

- A member must stay in the folder: no absolute name, no `..`, no backslash, no zero byte (`name_refusal`).
- It must be a plain file or a folder: no link, no device, no sparse file, nothing encrypted (`archive_members`, where
  the archive's own words for them are known).
- It must not take the place of another, also where a file system ignores case or Unicode form (`TakenPaths`).
- All of them together must not expand beyond the `Limits` (`Meter`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...schema.errors import InputError
from ...storage import name_key

__all__ = ["Limits", "Meter", "TakenPaths", "member_error", "name_refusal", "shown"]

_ABSOLUTE = re.compile(r"/|\\\\|[A-Za-z]:")
_LONGEST_SHOWN = 200


@dataclass(frozen=True)
class Limits:
    """How far an archive may expand.

    Args:
        total: bytes that may come out of it.
        ratio: bytes that may come out for each of its own. Video hardly compresses, text by 3 to 20.
        harmless: bytes up to which the ratio does not matter.
        members: files and folders, those passed over included.
    """

    total: int = 1 << 40
    ratio: int = 200
    harmless: int = 1 << 26
    members: int = 2_000_000


class Meter:
    """Counts what comes out of an archive, and stops it at the limits.

    Args:
        archive: its name.
        size: its bytes.
        limits: how far it may expand.

    Raises:
        InputError: from each count that is over a limit; it names the member.
    """

    def __init__(self, archive: str, size: int, limits: Limits) -> None:
        self._archive = archive
        self._members_left = limits.members
        self._bytes_left = min(limits.total, max(limits.harmless, limits.ratio * size))
        self._member = ""

    def count_member(self, name: str) -> None:
        """Count one member; the bytes that follow are its own."""
        self._member = name
        self._members_left -= 1
        if self._members_left < 0:
            raise member_error(self._archive, name, "is one of too many members")

    def count_bytes(self, number: int) -> None:
        """Count bytes that came out."""
        self._bytes_left -= number
        if self._bytes_left < 0:
            raise member_error(self._archive, self._member, "expands too far for the size of the archive")


class TakenPaths:
    """The paths that members have so far, as a file system sees them that ignores case and Unicode form."""

    def __init__(self) -> None:
        # By each path's key: how it was spelled, and whether it is a folder.
        self._taken: dict[str, tuple[str, bool]] = {}

    def take(self, path: str, *, is_folder: bool) -> str:
        """Take a path and the folders above it for a member; return why that is refused, "" where it is not."""
        above = [path[:at] for at, character in enumerate(path) if character == "/"]
        for folder in [*above, path] if is_folder else above:
            spelled, is_folder_too = self._taken.setdefault(name_key(folder), (folder, True))
            if spelled != folder or not is_folder_too:
                return f"takes the place of {shown(spelled)}"
        if not is_folder:
            if earlier := self._taken.get(name_key(path)):
                return f"takes the place of {shown(earlier[0])}"
            self._taken[name_key(path)] = (path, False)
        return ""


def name_refusal(name: str) -> str:
    """Return why a member's name is refused, "" where it is not."""
    if _ABSOLUTE.match(name):
        return "has an absolute name"
    if "\\" in name or "\0" in name:
        return "has a backslash or a zero byte in its name"
    return "leaves the folder" if ".." in name.split("/") else ""


def member_error(archive: str, name: str, refusal: str) -> InputError:
    """Return the error of a member that is refused."""
    return InputError(
        f"{archive}: member {shown(name)} {refusal}, which is refused; "
        "if you trust the archive, unpack it yourself and give the folder"
    )


def shown(name: str) -> str:
    """Return a member's name as messages show it: in ASCII, and not longer than a line."""
    return ascii(name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}...")
