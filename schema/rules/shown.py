"""The images that records show, looked at once each: their facts, and what the rules find in them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...storage import Folder, LocalFolder
from ..index.facts import Depth, ImageFacts
from ..index.facts_table import FactsTable, batch_of, decode_facts, image_key
from ..index.image_reader import ImageReader, Look
from ..index.quick_files import QuickFiles
from ..layout import IMAGES as FOLDER
from . import pixels
from .files import IMAGES, PATHS, Shown
from .lean import LeanRecord
from .rule import Finding, Rule
from .screen import ImageScreen, paths_are_plain
from .settings import Settings

REFERENCES = np.dtype([("record", np.uint64), ("number", np.uint32), ("image", np.uint64), ("content", np.uint64)])
"""A row an image that a record shows: the record's row, the image's place among all that it shows, the key of its name,
and what equal files share: the hash of the whole, or of size and head where no more was read; 0 for what cannot be
read."""

_FOLDERS = 64
_UNKNOWN = -1


class Taken(NamedTuple):
    """What was found out about the images of a part.

    Args:
        references: of REFERENCES, in the order of the records.
        tokens: of all images of each record, [records]; an image that cannot be read counts for none.
        facts: rows of the facts table for images that were not known before; None where there are none.
    """

    references: npt.NDArray[np.void]
    tokens: npt.NDArray[np.int64]
    facts: pa.RecordBatch | None


NOTHING = Taken(np.empty(0, REFERENCES), np.empty(0, np.int64), None)


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
        self._depth: Depth = "pixels" if settings.level == "pixels" else "header"
        self._table = FactsTable(tables, check=False) if self._looks and tables is not None else None
        if self._table is not None and len(self._table):
            self._reader = ImageReader(folder, self._depth, self._table.known)
        else:
            self._table, self._reader = None, ImageReader(folder, self._depth)
        self._local = QuickFiles(str(Path(folder.address)), FOLDER) if isinstance(folder, LocalFolder) else None
        self._names_in = lru_cache(_FOLDERS)(self._list)
        self._tar: tuple[str, list[str], Sequence[bytes]] | None = None
        self._start()

    def _start(self) -> None:
        self._records = 0
        # Images that were looked at, each once: their places in what follows.
        self._places: dict[str, int] = {}
        self._keys: list[int] = []
        self._contents: list[int] = []
        self._tokens: list[int] = []
        self._facts: list[ImageFacts | None] = []
        # Those of them that a rule may have something to say about, and has not been asked yet.
        self._unusual: dict[str, ImageFacts] = {}
        self._new: list[ImageFacts] = []
        self._batches: list[pa.RecordBatch] = []
        self._shown: list[npt.NDArray[np.int64]] = []

    def in_tar(self, fingerprint: str, places: list[str], images: Sequence[bytes]) -> None:
        """Say that the images of the next record are in memory: of a tar, with such names."""
        self._tar = (fingerprint, places, images)

    def take(self) -> Taken:
        """Return what was found out since the last time."""
        records, numbers, places = np.concatenate([np.empty((3, 0), np.int64), *self._shown], axis=1)
        references = np.empty(len(records), REFERENCES)
        references["record"], references["number"] = records, numbers
        references["image"] = np.array(self._keys, np.uint64)[places]
        references["content"] = np.array(self._contents, np.uint64)[places]
        tokens = np.zeros(self._records, np.int64)
        np.add.at(tokens, records, np.array(self._tokens, np.int64)[places])
        batches = [*self._batches, batch_of(self._new)] if self._new else self._batches
        taken = Taken(references, tokens, pa.concat_batches(batches) if batches else None)
        self._start()
        return taken

    def look(
        self,
        records: Sequence[LeanRecord],
        paths: Sequence[str],
        counts: Sequence[int],
        line: int,
        findings: list[Finding],
    ) -> int:
        """Look at the images of records.

        Args:
            records: that follow one another.
            paths: of all the images that they show.
            counts: how many each record shows.
            line: the number of the first one's line.
            findings: to which those of these images are added.

        Returns:
            How many images they show.
        """
        plain = not paths or paths_are_plain(paths)
        if self._looks and plain and self._tar is None and self._local is not None:
            self._look_ahead(self._local, paths)
        looked_at = self._looked_at(paths) if plain and self._looks else None
        if looked_at is not None:
            starts = np.cumsum(counts, dtype=np.int64) - counts
            numbers = np.arange(len(paths)) - np.repeat(starts, counts)
            rows = self._records + np.repeat(np.arange(len(records)), counts)
            self._shown.append(np.stack([rows, numbers, looked_at]))
        elif self._looks or not plain:
            self._look_at_each(records, plain, line, findings)
        self._records += len(records)
        self._tar = None
        return len(paths)

    def _look_ahead(self, quick: QuickFiles, paths: Sequence[str]) -> None:
        """Look at many files at once: at those that are known, and at headers."""
        names = [name for name in dict.fromkeys(paths) if name not in self._places]
        if "F205" in self._rules:
            folders = {name.rpartition("/")[0] for name in names}
            out = {each for each in folders if self._reader.leaves_folder(f"{FOLDER}/{each}/", is_link=False)}
            names = [name for name in names if name.rpartition("/")[0] not in out] if out else names
        if self._table is not None:
            names = self._take_known(self._table, names, quick.fingerprints(names))
        found = quick.read(names) if self._depth == "header" else None
        if found is None or not found.names:
            return
        # Of the headers of these images alone: there may be as many as images before them.
        headers = {kind: quick.headers[kind] for kind in set(found.kinds)}
        suffixes = {kind: self._screen.suffixes(header) for kind, header in headers.items()}
        tokens = {kind: self._screen.tokens(header.width, header.height) for kind, header in headers.items()}
        start = len(self._keys)
        self._places.update(zip(found.names, range(start, start + len(found.names)), strict=True))
        self._keys += found.keys
        self._contents += found.heads
        self._tokens += [tokens[kind] for kind in found.kinds]
        self._facts += [None] * len(found.names)
        self._batches.append(quick.batch(found))
        for name, kind, facts in zip(found.names, found.kinds, found.facts, strict=True):
            if not name.endswith(suffixes[kind]):
                self._unusual[name] = decode_facts(facts)

    def _take_known(self, table: FactsTable, names: list[str], fingerprints: Sequence[str]) -> list[str]:
        """Take in what is known of files that have not changed, and return the names of the others."""
        others = []
        keys = [image_key(f"{FOLDER}/{name}") for name in names]
        for name, key, fingerprint, row in zip(names, keys, fingerprints, table.rows(keys), strict=True):
            facts = table.known_at(row, f"{FOLDER}/{name}", fingerprint, self._depth) if row >= 0 else None
            if facts is None:
                others.append(name)
                continue
            self._places[name] = self._add(facts, key)
            if not self._screen.passes(name, facts):
                self._unusual[name] = facts
        return others

    def _looked_at(self, paths: Sequence[str]) -> npt.NDArray[np.int64] | None:
        """Return the places of images; None where one was not looked at, or something is left to be said of one."""
        if self._tar is not None or self._unusual or self._clips:
            return None
        places = np.array([self._places.get(name, _UNKNOWN) for name in paths], np.int64)
        return None if _UNKNOWN in places else places

    def _look_at_each(self, records: Sequence[LeanRecord], plain: bool, line: int, findings: list[Finding]) -> None:
        shown: list[tuple[int, int, int]] = []
        for at, record in enumerate(records):
            names = [name for turn in record.conversations for name in turn.images or ()]
            bad = set() if plain else {name for name in names if self._bad(name, line + at, record, findings)}
            if self._looks:
                places = self._look(record, names, bad, line + at, findings)
                shown += [(self._records + at, number, place) for number, place in places]
        if shown:
            self._shown.append(np.array(shown, np.int64).T)

    def _bad(self, name: str, line: int, record: LeanRecord, findings: list[Finding]) -> bool:
        """Tell whether a path must not be followed, and say so."""
        for rule in self._paths.values():
            for message in rule.check(name):
                findings.append(rule.finding(message, line=line, id=record.id, image=name))
        return any(True for rule in PATHS.rules.values() for _ in rule.check(name))

    def _look(
        self, record: LeanRecord, names: list[str], bad: set[str], line: int, findings: list[Finding]
    ) -> list[tuple[int, int]]:
        """Look at the images of a record, and return for each its place among those that it shows, and in `_places`."""
        shown = []
        for number, name in enumerate(names):
            if name in bad:
                continue
            place = self._places.get(name) if self._tar is None else None
            if place is None:
                place = self._places[name] = self._look_at(name, number, line, record, findings)
            elif name in self._unusual:
                self._check(name, self._unusual.pop(name), line, record, findings, leaves=False)
            shown.append((number, place))
        for turn in record.conversations if self._clips else ():
            looks = [self._facts[self._places[name]] for name in turn.images or () if name in self._places]
            found = [facts for facts in looks if facts is not None]
            if len(found) > 1:
                for rule in self._clips.values():
                    for message in rule.check(found):
                        findings.append(rule.finding(message, line=line, id=record.id))
        return shown

    def _look_at(self, name: str, number: int, line: int, record: LeanRecord, findings: list[Finding]) -> int:
        place = f"{FOLDER}/{name}"
        facts, is_new, is_link = self._reader.file(place) if self._tar is None else self._in_tar(number)
        if is_new:
            self._new.append(facts)
        leaves = self._tar is None and "F205" in self._rules and self._reader.leaves_folder(place, is_link)
        if leaves or not self._screen.passes(name, facts):
            self._check(name, facts, line, record, findings, leaves=leaves)
        return self._add(facts, image_key(facts.name))

    def _add(self, facts: ImageFacts, key: int) -> int:
        self._keys.append(key)
        self._contents.append(facts.content or facts.head)
        self._tokens.append(self._screen.tokens(facts.width, facts.height))
        self._facts.append(facts)
        return len(self._facts) - 1

    def _check(
        self, name: str, facts: ImageFacts, line: int, record: LeanRecord, findings: list[Finding], *, leaves: bool
    ) -> None:
        """Look at an image rule by rule."""
        place = f"{FOLDER}/{name}"
        shown = Shown(place, facts, self._limits, lambda: self._names_in(str(PurePosixPath(place).parent)), leaves)
        for rule in self._rules.values():
            for message in rule.check(shown):
                findings.append(rule.finding(f"{place}: {message}", line=line, id=record.id, image=place))

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
