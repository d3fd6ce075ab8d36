"""Which records are kept: by split, label, source, dataset, id or rule, and by conditions on fields."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..record import Record
from ..rules.registry import all_rules, codes_for
from ..rules.rule import LEVELS, Finding, Level
from .conditions import Condition
from .fields import FIELDS, Seen, label_of, source_of
from .found import is_about_records
from .joining import Input

_EXPECTED = "expected split=NAME, label=NAME, source=NAME, dataset=NAME, ids=FILE, or a rule such as P301"
_VALUES: dict[str, Callable[[Seen], str | None]] = {
    "split": lambda seen: seen.split,
    "label": lambda seen: label_of(seen.record),
    "source": lambda seen: source_of(seen.record),
    "dataset": lambda seen: seen.dataset,
}
_NAMED = 5


@dataclass(frozen=True)
class _Test:
    """One kind of `--keep` or `--drop`.

    Args:
        option: as it is given, such as `--drop label`.
        kind: what is looked at.
        values: of which one must be had.
    """

    option: str
    kind: str
    values: frozenset[str]


class Criteria:
    """What is kept. A record is kept where it passes every kind of `--keep` and every condition, and no `--drop`.

    Args:
        keep: `split=val`, `label=cat`, `source=docvqa`, `dataset=a`, `ids=FILE`, or a rule; those of one kind are
            alternatives.
        drop: those that are left out, in the same way.
        where: conditions; see `conditions`.

    Raises:
        UsageError: one of them is none of these, or a list of ids cannot be read.
    """

    def __init__(self, keep: Sequence[str] = (), drop: Sequence[str] = (), where: Sequence[str] = ()) -> None:
        self.options: dict[str, Any] = {
            name: list(values) for name, values in (("keep", keep), ("drop", drop), ("where", where)) if values
        }
        self._keep, self._drop = self._tests("--keep", keep), self._tests("--drop", drop)
        self._conditions = [Condition(text, FIELDS) for text in where]
        self._met: dict[tuple[str, str], Counter[str]] = {}

    @property
    def codes(self) -> frozenset[str]:
        """The rules that records are looked at with."""
        return frozenset(code for test in (*self._keep, *self._drop) if test.kind == "rule" for code in test.values)

    @property
    def level(self) -> Level:
        """How deep those rules must look."""
        levels = [LEVELS.index(all_rules()[code].level) for code in self.codes]
        return LEVELS[max(levels, default=0)]

    def check_names(self, inputs: Sequence[Input]) -> None:
        """Make sure that splits and datasets that are named exist.

        Raises:
            UsageError: one does not.
        """
        known = {
            "split": {split for each in inputs for split in each.dataset.splits},
            "dataset": {each.name for each in inputs},
        }
        for test in (*self._keep, *self._drop):
            for value in sorted(test.values - known.get(test.kind, test.values)):
                raise UsageError(f"{test.option}={value}: no such {test.kind}; there are: {_some(known[test.kind])}")

    def dropped_by_rule(self, findings: Iterable[Finding]) -> str:
        """Return the option by which a line is left out, whatever it holds; "" where it is not."""
        for test in self._drop:
            if test.kind == "rule":
                for finding in findings:
                    if finding.rule in test.values:
                        return f"--drop {finding.rule}"
        return ""

    def left_out_by(self, record: Record, split: str, source: Input, findings: Sequence[Finding]) -> str:
        """Return the option by which a record is left out; "" where it is kept.

        Args:
            record: as it was read.
            split: it is of.
            source: the dataset it is of.
            findings: of the rules in `codes`.

        Raises:
            UsageError: a condition cannot be evaluated.
        """
        seen = Seen(record, split, source.name)
        for test in self._keep:
            if not self._passes(test, seen, source, findings):
                return test.option
        dropped = self.dropped_by_rule(findings)
        if dropped:
            return dropped
        for test in self._drop:
            if test.kind != "rule" and self._passes(test, seen, source, findings):
                return test.option
        for condition in self._conditions:
            if not condition.holds(seen, record.id):
                return f"--where {condition.text}"
        return ""

    def check_met(self) -> None:
        """Make sure that every label, source and id that is named was met.

        Raises:
            UsageError: one was not.
        """
        for test in (*self._keep, *self._drop):
            met = self._met.get((test.option, test.kind), Counter())
            missing = sorted(value for value in test.values if value not in met)
            if test.kind in ("label", "source", "ids") and missing:
                noun = "id" if test.kind == "ids" else test.kind
                shown = _some(set(missing))
                raise UsageError(f"{test.option}: no record has the {noun} {shown}; correct it, or take it out")

    def _passes(self, test: _Test, seen: Seen, source: Input, findings: Sequence[Finding]) -> bool:
        if test.kind == "rule":
            return any(finding.rule in test.values for finding in findings)
        if test.kind == "ids":
            found = {seen.record.id, source.id_of(seen.record.id)} & test.values
        else:
            value = _VALUES[test.kind](seen)
            found = {value} & test.values if value is not None else set()
        self._met.setdefault((test.option, test.kind), Counter()).update(found)
        return bool(found)

    def _tests(self, option: str, given: Sequence[str]) -> list[_Test]:
        values: dict[str, set[str]] = {}
        for text in given:
            kind, equals, value = text.partition("=")
            if not equals:
                values.setdefault("rule", set()).update(_codes(option, text))
            elif kind == "ids":
                values.setdefault("ids", set()).update(self._ids(option, value))
            elif kind in _VALUES and value:
                values.setdefault(kind, set()).add(value)
            else:
                raise UsageError(f"{option} {text}: {_EXPECTED}")
        return [
            _Test(f"{option} {'rule' if kind == 'rule' else kind}", kind, frozenset(found))
            for kind, found in values.items()
        ]

    def _ids(self, option: str, name: str) -> list[str]:
        try:
            data = Path(name).read_bytes()
            ids = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UsageError(f"{option} ids={name}: cannot be read ({reason}); expected one id a line") from error
        # What was listed, and not where the list lay, tells what was chosen.
        self.options.setdefault("ids_sha256", {})[Path(name).name] = hashlib.sha256(data).hexdigest()
        replaced = [text if text != f"ids={name}" else f"ids={Path(name).name}" for text in self.options[option[2:]]]
        self.options[option[2:]] = replaced
        return [each for each in ids if each]


def _codes(option: str, word: str) -> frozenset[str]:
    try:
        codes = codes_for("pixels", [word])
    except UsageError as error:
        raise UsageError(f"{option} {word}: {error}; {_EXPECTED}") from error
    about = frozenset(filter(is_about_records, codes))
    if not about:
        other = min(codes)
        hint = "; --split-by group splits anew what leaks" if other.startswith("S") else ""
        raise UsageError(f"{option} {word}: {other} is not about single records{hint}")
    return about


def _some(values: set[str]) -> str:
    listed = sorted(values)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(map(repr, listed[:_NAMED])) + more
