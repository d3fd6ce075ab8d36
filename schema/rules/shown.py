"""The images that records show, looked at once each: their facts, and what the rules find in them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from ...storage import Folder, LocalFolder
from ..index.facts import Depth, ImageFacts
from ..index.facts_table import FactsTable, batch_of, image_key
from ..index.image_reader import ImageReader, Look
from ..layout import IMAGES as FOLDER
from . import pixels
from .files import IMAGES, PATHS, Shown
from .lean import LeanRecord
from .rule import Finding, Rule
from .screen import ImageScreen, paths_are_plain
from .settings import Settings

__all__ = ["NOTHING", "REFERENCES", "ShownImages", "Taken"]

REFERENCES = np.dtype([("record", np.uint64), ("number", np.uint32), ("image", np.uint64), ("content", np.uint64)])
"""A row an image that a record shows: the record's row, the image's place among all that it shows, the key of its name,
and what equal files share: the hash of the whole, or of size and head where no more was read; 0 for what cannot be
read."""

_FOLDERS = 64


class _Seen(NamedTuple):
    """An image that was looked at: its facts, and what stands for it in REFERENCES."""

    facts: ImageFacts
    key: int
    content: int


class Taken(NamedTuple):
    """What was found out about the images of a part.

    Args:
        references: of REFERENCES, in the order of the records.
        facts: rows of the facts table for images that were not known before; None where there are none.
    """

    references: npt.NDArray[np.void]
    facts: pa.RecordBatch | None


NOTHING = Taken(np.empty(0, REFERENCES), None)


class ShownImages:
    """Looks at the images of the records of one part after another.

    Args:
        folder: the dataset folder.
        settings: how data is validated.
        tables: the folder of the facts table; None where nothing is kept.
    """

    def __init__(self, folder: Folder, settings: Settings, tables: LocalFolder | None) -> None:
        self._folder = folder
        self._limits = settings.limits
        self._screen = ImageScreen(settings.limits)
        self._paths = _selected(PATHS.rules, settings)
        self._rules = _selected(IMAGES.rules, settings)
        self._clips = _selected(pixels.CLIPS.rules, settings)
        self._looks = settings.level != "records"
        self._pixels = settings.level == "pixels"
        if self._looks:
            table = FactsTable(tables, check=False) if tables is not None else None
            depth: Depth = "pixels" if self._pixels else "header"
            self._reader = ImageReader(folder, depth, table.known) if table else ImageReader(folder, depth)
        self._names_in = lru_cache(_FOLDERS)(self._list)
        self._tar: tuple[str, list[str], Sequence[bytes]] | None = None
        self._start()

    def _start(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._new: list[ImageFacts] = []
        self._references: list[tuple[int, int, int, int]] = []
        self._records = 0

    def in_tar(self, fingerprint: str, places: list[str], images: Sequence[bytes]) -> None:
        """Say that the images of the next record are in memory: of a tar, with such names."""
        self._tar = (fingerprint, places, images)

    def take(self) -> Taken:
        """Return what was found out since the last time."""
        references = np.empty(len(self._references), REFERENCES)
        for field, column in zip(REFERENCES.names or (), zip(*self._references, strict=True), strict=False):
            references[field] = column
        taken = Taken(references, batch_of(self._new) if self._new else None)
        self._start()
        return taken

    def look(self, records: Sequence[LeanRecord], paths: Sequence[str], line: int, findings: list[Finding]) -> int:
        """Look at the images of records.

        Args:
            records: that follow one another.
            paths: of all the images that they show.
            line: the number of the first one's line.
            findings: to which those of these images are added.

        Returns:
            How many images they show.
        """
        plain = not paths or paths_are_plain(paths)
        if self._looks or not plain:
            for number, record in enumerate(records):
                names = [name for turn in record.conversations for name in turn.images or ()]
                bad = set() if plain else {x for x in names if self._bad(x, line + number, record, findings)}
                if self._looks:
                    self._look(record, names, bad, line + number, findings)
                self._records += 1
        self._tar = None
        return len(paths)

    def _bad(self, name: str, line: int, record: LeanRecord, findings: list[Finding]) -> bool:
        """Tell whether a path must not be followed, and say so."""
        for rule in self._paths.values():
            for message in rule.check(name):
                findings.append(rule.finding(message, line=line, id=record.id, image=name))
        return any(True for rule in PATHS.rules.values() for _ in rule.check(name))

    def _look(self, record: LeanRecord, names: list[str], bad: set[str], line: int, findings: list[Finding]) -> None:
        for number, name in enumerate(names):
            if name in bad:
                continue
            seen = self._seen.get(name) if self._tar is None else None
            if seen is None:
                seen = self._seen[name] = self._look_at(name, number, line, record, findings)
            self._references.append((self._records, number, seen.key, seen.content))
        for turn in record.conversations if self._clips else ():
            found = [self._seen[name].facts for name in turn.images or () if name in self._seen]
            if len(found) > 1:
                for rule in self._clips.values():
                    for message in rule.check(found):
                        findings.append(rule.finding(message, line=line, id=record.id))

    def _look_at(self, name: str, number: int, line: int, record: LeanRecord, findings: list[Finding]) -> _Seen:
        place = f"{FOLDER}/{name}"
        facts, is_new, is_link = self._reader.file(place) if self._tar is None else self._in_tar(number)
        if is_new:
            self._new.append(facts)
        leaves = self._tar is None and "F205" in self._rules and self._reader.leaves_folder(place, is_link)
        if leaves or not self._screen.passes(name, facts):
            shown = Shown(place, facts, self._limits, lambda: self._names_in(str(PurePosixPath(place).parent)), leaves)
            for rule in self._rules.values():
                for message in rule.check(shown):
                    findings.append(rule.finding(f"{place}: {message}", line=line, id=record.id, image=place))
        content = facts.content
        if not content and facts.head:
            content = xxhash.xxh3_64_intdigest(b"head", facts.head)
        return _Seen(facts, image_key(facts.name), content)

    def _in_tar(self, number: int) -> Look:
        fingerprint, places, images = self._tar or ("", [], [])
        if number >= len(images):
            return Look(ImageFacts(name=f"image {number}", failure="missing", detail="not in the shard's index"))
        return self._reader.data(places[number], fingerprint, images[number])

    def _list(self, name: str) -> list[str]:
        try:
            return [PurePosixPath(entry.name).name for entry in self._folder.list(name) if not entry.is_folder]
        except OSError:
            return []


def _selected(rules: dict[str, Rule[Any, Any]], settings: Settings) -> dict[str, Rule[Any, Any]]:
    return {code: rule for code, rule in rules.items() if code in settings.codes}
