"""The plan: every item of a conversion in discovery order, checked, and kept in a temporary file.

Discovery runs once, from start to end, before anything is written. What cannot be converted whatever its contents
(a second item of the same id, an image name that is taken) is settled here; so is what discovery itself found to be
no sample, and what was not asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Literal, NamedTuple

import msgspec

from ...schema.errors import InputError, UsageError
from ...schema.progress import Progress, followed, silent
from ...schema.record import ImagePath
from ...storage import name_key
from ...storage.outage import one_line
from ...storage.temporary_tables import TemporaryTables
from ..base import Converter, Item
from ..splits import is_split_name
from .failures import portable, shortened, source_errors
from .journal import lines_of
from .messages import Failed, Failure, encode


class Selection(NamedTuple):
    """What is asked for: the named splits (all where None), at most `limit` items of each (all where None)."""

    splits: tuple[str, ...] | None = None
    limit: int | None = None


class Planned(msgspec.Struct, frozen=True, array_like=True):
    """One item and what is known of it before any work: to be converted, skipped on request, or failed already."""

    item: Item
    skipped: bool = False
    failure: Failure | None = None


@dataclass
class SplitPlan:
    """How many items a split has, and how many of them are left out on request."""

    discovered: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Plan:
    """Every item in discovery order. Iterating decodes the whole plan again."""

    stream: IO[bytes]  # a temporary file with a line an item
    splits: dict[str, SplitPlan]  # in discovery order
    digest: str  # SHA-256 of the lines, in hex: two plans are the same if their digests are
    failed: int = 0  # how many items were asked for and cannot be converted whatever their contents
    first_failed: Failed | None = None

    def __len__(self) -> int:
        return sum(split.discovered for split in self.splits.values())

    def __iter__(self) -> Iterator[Planned]:
        return map(_decoder.decode, lines_of(self.stream))


_decoder = msgspec.json.Decoder(Planned)


def make_plan(converter: Converter, selection: Selection, stream: IO[bytes], progress: Progress = silent) -> Plan:
    """Walk a source once and settle what becomes of each item; the temporary file is to stay open for the plan.

    Raises:
        InputError: the source holds nothing, or a split whose name cannot be a file name.
        UsageError: a split was asked for that the source does not have.
        ConversionStopped: there is no room for temporary files.
    """
    splits: dict[str, SplitPlan] = {}
    digest = hashlib.sha256()
    failed, first_failed = 0, None
    with Names() as names:
        found = followed(_discovered(converter), progress, "Looking for samples", "items found")
        for index, item in enumerate(found):
            split = splits.get(item.split) or splits.setdefault(_split_name(item, splits), SplitPlan())
            planned = _settle(item, split, selection, names, converter.input.address)
            if planned.failure is not None:
                failed += 1
                first_failed = first_failed or Failed(index, planned.item.path, planned.failure)
            line = encode(planned) + b"\n"
            stream.write(line)
            digest.update(line)
    stream.flush()
    if not splits:
        raise InputError(f"{converter.input.address}: nothing to convert was found; point --input at the raw data")
    if missing := sorted(set(selection.splits or ()) - set(splits)):
        raise UsageError(f"no split {', '.join(map(repr, missing))}; this source has: {', '.join(splits)}")
    return Plan(stream, splits, digest.hexdigest(), failed, first_failed)


def _discovered(converter: Converter) -> Iterator[Item]:
    try:
        with source_errors(converter.name, "looked for samples"):
            yield from converter.discover()
    except OSError as error:
        raise InputError(f"{converter.input.address}: cannot be read through ({one_line(error)})") from error


def _split_name(item: Item, known: dict[str, SplitPlan]) -> str:
    if not is_split_name(item.split):
        raise InputError(f"{item.path}: the split {item.split!r} cannot name a file; rename the folder it comes from")
    for name in known:
        if name_key(name) == name_key(item.split):
            raise InputError(f"the splits {name!r} and {item.split!r} would share a file; rename one of them")
    return item.split


def _settle(item: Item, split: SplitPlan, selection: Selection, names: Names, root: str) -> Planned:
    split.discovered += 1
    stored, problem = _storable(item)
    is_wanted = selection.splits is None or item.split in selection.splits
    if not is_wanted or (selection.limit is not None and split.discovered > selection.limit):
        split.skipped += 1
        return Planned(stored, skipped=True)
    if item.failure:
        return Planned(stored, failure=Failure("discover", "ItemError", portable(item.failure, (root,))))
    problem = problem or _collision(item, names)
    return Planned(stored, failure=Failure("plan", "NameError", shortened(problem)) if problem else None)


def _storable(item: Item) -> tuple[Item, str]:
    """Return an item that can be written down and read again, and what is wrong if it is not the one given."""
    try:
        msgspec.json.decode(encode(item), type=Item)
        return item, ""
    except TypeError as error:
        raise UsageError(f"{item.path}: its Item.data holds more than plain JSON values ({error})") from error
    except UnicodeEncodeError:
        problem = "its name is not valid Unicode; rename it"
    except msgspec.ValidationError as error:
        problem = f"its id or image name is not usable ({error})"
    texts = [item.id, item.split, item.path, item.images]
    id_, split, path, images = (text.encode("utf-8", "backslashreplace").decode() or "(empty)" for text in texts)
    return Item(id=id_, split=split, path=path, images=images), problem


def _collision(item: Item, names: Names) -> str:
    """Say what makes an item impossible before it is even opened, or take its names and return ""."""
    try:
        msgspec.convert(f"{item.images}.0.jpg", ImagePath)
    except msgspec.ValidationError:
        return f"its images {item.images!r} would leave the dataset; rename it"
    if owner := names.take("id", item.id, item):
        return f"its id {item.id!r} is already that of {owner[0]}"
    owner = names.take("images", name_key(item.images), item)
    if owner is not None and not (item.shared and item.shared == owner[1]):
        return f"its images {item.images!r} would overwrite those of {owner[0]}; rename it"
    return ""


class Names(TemporaryTables):
    """Which item was the first to take a name. A context manager: leaving it removes the list."""

    def __init__(self) -> None:
        super().__init__(
            "CREATE TABLE taken (kind TEXT, name TEXT, path TEXT, shared TEXT, PRIMARY KEY (kind, name)) WITHOUT ROWID"
        )

    def take(self, kind: Literal["id", "images"], name: str, item: Item) -> tuple[str, str] | None:
        """Take a name for an item; return path and `shared` of the item that has it already, None where it was free."""
        row = (kind, name, item.path, item.shared)
        if self.execute("INSERT OR IGNORE INTO taken VALUES (?, ?, ?, ?)", row).rowcount:
            return None
        found = self.execute("SELECT path, shared FROM taken WHERE kind = ? AND name = ?", (kind, name))
        path, shared = found.fetchone()
        return path, shared
