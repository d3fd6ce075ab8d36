"""Every rule, by its code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..errors import UsageError
from .dataset import FOLDERS
from .files import IMAGES, PATHS
from .pixels import CLIPS
from .records import LINES
from .rule import LEVELS, Level, Rule
from .splits import TOGETHER
from .text import TURNS
from .tokens import COSTS

RULE_SETS: tuple[Any, ...] = (LINES, TURNS, PATHS, IMAGES, CLIPS, COSTS, TOGETHER, FOLDERS)


class Family(NamedTuple):
    """Rules whose codes begin with the same letter."""

    letter: str
    name: str
    about: str


FAMILIES = (
    Family("R", "records", "each line of a JSONL file is one record, and each record is there once"),
    Family("F", "files", "the images are where the records say, and are images"),
    Family("P", "pixels", "all of an image is there, and little is lost on the way to the model"),
    Family("T", "text", "what is said reads for the model as it does for a person"),
    Family("K", "tokens", "records fit into the model, and images into their crops"),
    Family("S", "splits", "nothing that is tested was seen in training, and labels are spread alike"),
    Family("D", "dataset", "the manifest tells the truth about the files"),
)


def all_rules() -> dict[str, Rule[Any, Any]]:
    """Return every rule by its code: family by family, then by number."""
    letters = [family.letter for family in FAMILIES]
    rules = [rule for each in RULE_SETS for rule in each.rules.values()]
    rules.sort(key=lambda rule: (letters.index(rule.code[0]), rule.code))
    return {rule.code: rule for rule in rules}


def find_rule(word: str) -> Rule[Any, Any]:
    """Return the rule of a code or a name.

    Raises:
        UsageError: there is none.
    """
    rules = all_rules()
    for rule in rules.values():
        if word.upper() == rule.code or word.lower() == rule.name:
            return rule
    names = [*rules, *(rule.name for rule in rules.values())]
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"did you mean {near[0]}?" if near else "phi3v-data rules lists them all"
    raise UsageError(f"no rule {word!r}; {hint}")


def codes_for(level: Level, select: Iterable[str] = (), ignore: Iterable[str] = ()) -> frozenset[str]:
    """Return the codes of the rules that look at a level.

    Args:
        level: how deep.
        select: codes, names, or beginnings of codes (`R`, `P3`); all rules where there are none.
        ignore: those that do not look, in the same way.

    Raises:
        UsageError: one of them is no rule's.
    """
    rules = all_rules()
    depth = LEVELS.index(level)
    chosen = {code for word in select for code in _matching(word)} or set(rules)
    chosen -= {code for word in ignore for code in _matching(word)}
    return frozenset(code for code in chosen if LEVELS.index(rules[code].level) <= depth)


def _matching(word: str) -> set[str]:
    found = {code for code in all_rules() if code.startswith(word.upper())} if word else set()
    return found or {find_rule(word).code}
