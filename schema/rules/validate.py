"""Validate datasets: read their records in parallel, look at their images, then at all of them together."""

from __future__ import annotations

import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ...storage import LocalFolder
from ...storage.outage import one_line
from ..cores import core_count
from ..dataset import Dataset
from ..errors import DatasetError
from ..index.cache import tables_folder
from ..index.facts_table import FactsWriter, discard_damaged
from ..index.ray_workers import in_order_on_ray
from ..index.workers import in_order
from ..jsonl import JSONL_SUFFIXES
from ..progress import Progress, silent
from .corpus import At, Corpus, Source
from .dataset import FOLDERS, Folder
from .lines import Task, tasks_of
from .registry import codes_for
from .rule import Finding, Level, Rule
from .scan import Part, Scanner
from .settings import Settings
from .shown import ShownImages
from .splits import TOGETHER
from .tokens import COSTS, costs_of

# Bytes of records a task: less where each image takes long.
_TASK = {"records": 1 << 22, "files": 1 << 20, "pixels": 1 << 15}
# Below this, starting processes takes longer than the work.
_SMALL = {"records": 1 << 25, "files": 1 << 24, "pixels": 1 << 18}


@dataclass
class Summary:
    """What a validation looked at and found.

    Args:
        level: how deep it looked.
        records: of each dataset, by split.
        images: that the records show.
        findings: how many each rule has, by code.
        errors: findings of severity error.
        notes: what could not be looked at, and why.
    """

    level: Level
    records: dict[str, Counter[str]] = field(default_factory=dict)
    images: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def warnings(self) -> int:
        """Findings of severity warning."""
        return sum(self.findings.values()) - self.errors


class Validation:
    """One run over datasets; `summary` is complete behind the last finding.

    Args:
        datasets: with the addresses they were given by.
        settings: how to look.
        progress: told how it goes.
    """

    def __init__(
        self, datasets: Sequence[tuple[str, Dataset]], settings: Settings, progress: Progress = silent
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._sources = [Source(dataset, address) for address, dataset in datasets]
        self.summary = Summary(settings.level)

    def findings(self, wanted: Callable[[Finding], bool] = lambda finding: True) -> Iterator[Finding]:
        """Yield every finding that is wanted; the others are not counted either.

        Raises:
            DatasetError: a file of records cannot be read.
            RunError: the machine or a store is failing.
        """
        for finding in self._findings():
            if wanted(finding):
                self.summary.findings[finding.rule] += 1
                self.summary.errors += finding.severity == "error"
                yield finding

    def _findings(self) -> Iterator[Finding]:
        with tempfile.TemporaryDirectory(prefix="phi3v-data-") as place:
            corpus = Corpus(self._sources, self._settings, Path(place))
            with corpus.closing():
                for number, source in enumerate(self._sources):
                    yield from self._read(number, source, corpus, Path(place))
                self._progress("Comparing", "images", 0, 0)
                for rule in _selected(TOGETHER.rules, self._settings):
                    for at in rule.check(corpus):
                        yield self._placed(rule, at, corpus)
                for row, cost in costs_of(corpus):
                    for rule in _selected(COSTS.rules, self._settings):
                        for message in rule.check(cost):
                            yield self._placed(rule, At(message, row), corpus)
                for number, source in enumerate(self._sources):
                    folder = Folder(number, source, corpus)
                    for rule in _selected(FOLDERS.rules, self._settings):
                        for at in rule.check(folder):
                            yield self._placed(rule, at, corpus)
        self.summary.notes += corpus.notes
        self.summary.images = sum(sum(source.images.values()) for source in self._sources)
        self.summary.records = {source.address: source.records for source in self._sources}

    def _read(self, number: int, source: Source, corpus: Corpus, place: Path) -> Iterator[Finding]:
        settings = self._settings
        if settings.level != "records":
            kept = tables_folder(source.dataset.folder) if settings.keep_facts else None
            source.tables = kept or LocalFolder(place / f"tables-{number}")
            # Here once, for all processes that read it.
            discard_damaged(source.tables)
        make = partial(_scanner, source.dataset, settings, source.tables)
        files = _files(source.dataset, settings)
        total = sum(size for _, _, size in files)
        facts = FactsWriter(source.tables) if source.tables is not None else None
        done = 0
        self._progress("Reading", "bytes", done, total)
        # Every part belongs to a file: the names travel beside the tasks, in their order.
        names: list[tuple[str, str]] = []

        def tasks() -> Iterator[Task]:
            for split, name, _ in files:
                for task in _tasks(source.dataset, name, settings):
                    names.append((split, name))
                    yield task

        at, line = ("", ""), 0
        for count, part in enumerate(self._parts(make, tasks(), total)):
            if names[count] != at:
                at, line = names[count], 0
                corpus.begin(number, *at)
            split, name = at
            yield from self._of_part(part, source, name, line)
            source.records[split] += part.lines
            source.images[split] += part.shown
            source.unreadable[split] += part.lines - len(part.rows)
            source.labels.setdefault(split, Counter()).update(part.labels)
            if facts is not None:
                facts.add(part.images.facts)
            corpus.append(part, line)
            line += part.lines
            done += part.size
            self._progress("Reading", "bytes", done, total)
        if facts is not None:
            source.facts = facts.finish()

    def _parts(self, make: Callable[[], Scanner], tasks: Iterator[Task], total: int) -> Iterator[Part]:
        settings = self._settings
        if settings.engine == "ray":
            return in_order_on_ray(make, tasks, settings.workers)
        workers = settings.workers or (1 if total <= _SMALL[settings.level] else core_count())
        return in_order(make, tasks, workers)

    def _of_part(self, part: Part, source: Source, name: str, line: int) -> Iterator[Finding]:
        for finding in part.findings:
            yield _at(finding, source.address, name, finding.line + line + 1)

    def _placed(self, rule: Rule[Any, Any], at: At, corpus: Corpus) -> Finding:
        if at.row < 0:
            address = self._sources[at.source].address
            return rule.finding(at.message, dataset=address, file=at.file, image=at.image)
        source, file, line = corpus.place(at.row)
        identity = corpus.read(at.row).id
        return rule.finding(at.message, dataset=source.address, file=file, line=line, id=identity, image=at.image)


def find_all(dataset: Dataset, level: Level = "files", select: Iterable[str] = ()) -> list[Finding]:
    """Return every finding of a dataset.

    Args:
        dataset: what to look at.
        level: how deep.
        select: codes, names or beginnings of codes of the rules that look; all where there are none.
    """
    settings = Settings(level, codes_for(level, select))
    return list(Validation([(dataset.folder.address, dataset)], settings).findings())


def _scanner(dataset: Dataset, settings: Settings, tables: LocalFolder | None) -> Scanner:
    return Scanner(dataset.folder, settings, ShownImages(dataset.folder, settings, tables))


def _files(dataset: Dataset, settings: Settings) -> list[tuple[str, str, int]]:
    """Return each file of records with its split and size; files that are not there are another rule's."""
    found = []
    # What is found in two splits is told of the other one.
    for split in sorted(dataset.splits, key=lambda split: split != "train"):
        # Where images are in shards alone, they are read beside their records.
        in_shards = split in dataset.shards and (settings.level != "records" or split not in dataset.files)
        for name in dataset.shards[split] if in_shards else [dataset.files[split]]:
            if dataset.folder.exists(name):
                found.append((split, name, dataset.folder.size(name)))
    return found


def _tasks(dataset: Dataset, name: str, settings: Settings) -> Iterator[Task]:
    if not name.endswith(JSONL_SUFFIXES):
        yield Task(name, 0, dataset.folder.size(name))
        return
    try:
        yield from tasks_of(dataset.folder, name, _TASK[settings.level], settings.limits.longest_line)
    except (OSError, EOFError, zlib.error) as error:
        reason = one_line(error) or type(error).__name__
        raise DatasetError(f"{dataset.folder.address}/{name}: cannot be read ({reason}); write it again") from error


def _at(finding: Finding, address: str, file: str, line: int) -> Finding:
    return msgspec.structs.replace(finding, dataset=address, file=file, line=line)


def _selected(rules: dict[str, Rule[Any, Any]], settings: Settings) -> list[Rule[Any, Any]]:
    return [rule for code, rule in rules.items() if code in settings.codes]
