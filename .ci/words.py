"""Fail on a word that the glossary replaces: the field's own word is used for each thing, and one word for one thing.

`python .ci/words.py` reads every tracked Python and Markdown file and prints a line for each place, as a compiler does.
What a project calls things is a decision; this keeps it.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

# In any text: names, messages, comments, docs. The pattern, and the word to use.
ANYWHERE = {
    r"pictures?": "image (what a record shows) or frame (what a clip is made of)",
    r"judg(e|es|ed|ing|ements?)": "evaluate, evaluation, metric, prediction",
    r"verdicts?": "evaluation, metric, prediction",
    r"mend(s|ed|ing)?": "fix",
    r"learnt": "supervised (tokens)",
    r"dealt": "assigned, balanced",
    r"patience": "timeout, retry policy",
    r"troubles?": "failure",
    r"unshown|leftovers?": "orphaned",
    r"wish(es)?": "target",
    r"bury|buried|buries": "exit (on_worker_exit)",
    r"give the (same )?command again": "rerun",
    r"begin(s|ning)? anew": "restart, resume",
    r"no (valid )?JSON": "not valid JSON",
    r"no converter": "not a converter",
}
# In names of functions, classes, variables and files only: elsewhere these are plain English.
IN_NAMES = {
    "deal": "balance, assign",
    "desk": "worker",
    "death": "exit",
    "fault": "failure (tests that break something on purpose: fault_injection)",
    "hand": "worker",
    "hands": "workers",
    "lane": "queue",
    "say": "log, progress",
    "stamp": "pts",
    "stamps": "pts",
    "told": "logged",
}

_ANYWHERE = [(re.compile(rf"\b({pattern})\b", re.IGNORECASE), instead) for pattern, instead in ANYWHERE.items()]
_SUBWORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# The rule states the words, and names of others cannot be chosen.
_EXEMPT = {".ci/words.py"}
_ALLOWED_NAMES = {"fault_injection", "PictureType"}


def main() -> int:
    """Print every place, and return 1 if there is one."""
    root = Path(__file__).resolve().parent.parent
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.py", "*.md"], cwd=root, capture_output=True, text=True, check=True
    )
    names = [name for name in listed.stdout.split("\0") if name and name not in _EXEMPT]
    found = [f"{name}:{line}: {word!r}: use {use}" for name in names for line, word, use in _found(root / name, name)]
    print("\n".join([*found, f"{len(found)} places" if found else "Every word is the glossary's."]))  # noqa: T201
    return bool(found)


def _found(path: Path, name: str) -> Iterator[tuple[int, str, str]]:
    text = path.read_text(encoding="utf-8")
    identifiers = [(0, name)]
    if path.suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        identifiers += [(token.start[0], token.string) for token in tokens if token.type == tokenize.NAME]
    for number, identifier in identifiers:
        yield from _in_name(number, identifier)
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, use in _ANYWHERE:
            for match in pattern.finditer(line):
                if match.group() not in _ALLOWED_NAMES:
                    yield number, match.group(), use


def _in_name(number: int, identifier: str) -> Iterator[tuple[int, str, str]]:
    if any(allowed in identifier for allowed in _ALLOWED_NAMES):
        return
    for word in map(str.lower, _SUBWORD.findall(identifier)):
        # A test's name is a sentence.
        if word in IN_NAMES and not identifier.startswith("test_"):
            yield number, identifier, IN_NAMES[word]
        # A pattern's word bounds do not see the parts of a name.
        elif word != identifier.lower():
            yield from ((number, identifier, use) for pattern, use in _ANYWHERE if pattern.fullmatch(word))


if __name__ == "__main__":
    sys.exit(main())
