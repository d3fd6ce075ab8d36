"""What a rule is: a code, words for people, two examples, and the function that looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import msgspec

from .examples import Example

Severity = Literal["error", "warning"]
Level = Literal["records", "files", "pixels"]
LEVELS: tuple[Level, ...] = ("records", "files", "pixels")

Subject = TypeVar("Subject")
Found = TypeVar("Found")


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is not as it should be.

    Args:
        rule: the rule's code.
        name: the rule's name.
        severity: an error makes the dataset unfit for training; a warning does not.
        message: what is wrong.
        dataset: the dataset's address.
        file: where, relative to the dataset folder.
        line: line of that file (in a shard, the sample), counted from 1.
        id: the record's id.
        image: the image that is to blame, relative to the dataset folder.
    """

    rule: str
    name: str
    severity: Severity
    message: str
    dataset: str = ""
    file: str = ""
    line: int = 0
    id: str = ""
    image: str = ""

    @property
    def place(self) -> str:
        """Where it is, as `file:line`."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Rule(Generic[Subject, Found]):
    """One rule.

    Args:
        code: its letter is the family's.
        name: short, in lower case with dashes.
        sentence: what it finds.
        remedy: what to do.
        severity: of its findings.
        level: the least level at which it can look.
        fixable: `--fix` repairs what it finds.
        bad: an example with this failure.
        good: one like it, without the failure.
        check: gives what is wrong with a subject.
    """

    code: str
    name: str
    sentence: str
    remedy: str
    severity: Severity
    level: Level
    fixable: bool
    bad: Example | Callable[[], Example]
    good: Example | Callable[[], Example]
    check: Callable[[Subject], Iterable[Found]]

    def example(self, kind: Literal["bad", "good"]) -> Example:
        """Return one of the two examples; some are made when they are asked for."""
        found = self.bad if kind == "bad" else self.good
        return found if isinstance(found, Example) else found()

    def finding(self, message: str, **place: Any) -> Finding:
        """Make a finding of this rule."""
        return Finding(rule=self.code, name=self.name, severity=self.severity, message=message, **place)


@dataclass(frozen=True)
class RuleSet(Generic[Subject, Found]):
    """Rules that look at the same kind of thing: a line, a turn, an image.

    Args:
        level: the least level of its rules, where a rule says nothing else.
    """

    level: Level
    rules: dict[str, Rule[Subject, Found]] = field(default_factory=dict)

    def rule(
        self,
        code: str,
        name: str,
        sentence: str,
        remedy: str,
        *,
        bad: Example | Callable[[], Example],
        good: Example | Callable[[], Example],
        severity: Severity = "error",
        level: Level | None = None,
        fixable: bool = False,
    ) -> Callable[[Callable[[Subject], Iterable[Found]]], Callable[[Subject], Iterable[Found]]]:
        """Add a rule whose check is the decorated function; see `Rule`."""

        def add(check: Callable[[Subject], Iterable[Found]]) -> Callable[[Subject], Iterable[Found]]:
            least = level or self.level
            self.rules[code] = Rule(code, name, sentence, remedy, severity, least, fixable, bad, good, check)
            return check

        return add
