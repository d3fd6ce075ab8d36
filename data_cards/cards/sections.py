"""A card is written again without losing what a person wrote in it.

Every section of ours stands between two comments, the first of which holds a digest of it. Where the digest is still
that of the text, the section is replaced; else a person edited it, and it stays. A section that a person removed is not
brought back. Keys of the front matter are treated the same way. Everything outside the sections is the person's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from ...schema.errors import OutputError

_NOTE = "Written by phi3v-data. A section that you edit is yours from then on; the others are kept up to date."
_HEAD = re.compile(r"<!-- phi3v-data:card (?P<state>\{.*?\}) -->\n<!-- .*? -->\n")
_SECTION = re.compile(
    r"<!-- phi3v-data:begin (?P<name>[\w-]+) (?P<digest>[0-9a-f]{12}) -->\n"
    r"(?P<body>.*?)"
    r"<!-- phi3v-data:end (?P=name) -->\n?",
    re.DOTALL,
)
_FRONT_MATTER = re.compile(r"\A---\r?\n(?P<yaml>.*?\r?\n)?---\r?\n", re.DOTALL)


class Section(NamedTuple):
    """A part of a card: its name, and its Markdown, heading included."""

    name: str
    text: str


class Merged(NamedTuple):
    """A card as it is to be written, and the names of sections and keys that a person's hand was left in."""

    text: str
    kept: list[str]


def merge(existing: str | None, front: Mapping[str, Any], sections: Sequence[Section], where: str) -> Merged:
    """Put front matter and sections into a card.

    Args:
        existing: the card as it is; None where there is none.
        front: the front matter.
        sections: in order.
        where: the card's address, for messages.

    Raises:
        OutputError: the card there is somebody else's, or its front matter is not valid YAML.
    """
    if existing is None or not existing.strip():
        body = "\n".join(_written(section) for section in sections)
        return Merged(f"{_yaml(front)}{_head(front, sections)}\n{body}", [])
    existing = existing.replace("\r\n", "\n")
    head = _HEAD.search(existing)
    if head is None:
        raise OutputError(f"{where}: written by somebody else; move it away, or write the card elsewhere with --out")
    state = _state(head["state"], where)
    found = _FRONT_MATTER.match(existing)
    theirs = _parsed(found["yaml"] or "", where) if found else {}
    merged, kept = _merged_front(theirs, front, state["front"])
    rest = existing[found.end() :] if found else existing
    rest = _HEAD.sub(lambda _: "", rest, count=1).lstrip("\n")
    rest, kept_sections = _merged_sections(rest, sections, state["sections"])
    return Merged(f"{_yaml(merged)}{_head(front, sections)}\n{rest}", [*kept, *kept_sections])


def _written(section: Section) -> str:
    body = f"{section.text.strip()}\n"
    return f"<!-- phi3v-data:begin {section.name} {_digest(body)} -->\n{body}<!-- phi3v-data:end {section.name} -->\n"


def _head(front: Mapping[str, Any], sections: Sequence[Section]) -> str:
    state = {
        "front": {key: _digest(json.dumps(value, sort_keys=True)) for key, value in front.items()},
        "sections": [section.name for section in sections],
    }
    return f"<!-- phi3v-data:card {json.dumps(state)} -->\n<!-- {_NOTE} -->\n"


def _merged_front(
    theirs: dict[str, Any], ours: Mapping[str, Any], written: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    merged: dict[str, Any] = {}
    kept = []
    for key, value in theirs.items():
        was_ours = written.get(key) == _digest(json.dumps(value, sort_keys=True, default=str))
        if was_ours and key in ours:
            merged[key] = ours[key]
        elif not was_ours:
            merged[key] = value
            if key in ours and value != ours[key]:
                kept.append(key)
    # A key that was written before and is gone was removed by a person.
    merged |= {key: value for key, value in ours.items() if key not in theirs and key not in written}
    return merged, kept


def _merged_sections(text: str, sections: Sequence[Section], written: Sequence[str]) -> tuple[str, list[str]]:
    ours = {section.name: section for section in sections}
    kept = []

    def replaced(match: re.Match[str]) -> str:
        if _digest(match["body"]) != match["digest"]:
            kept.append(match["name"])
            return match.group()
        return _written(ours[match["name"]]) if match["name"] in ours else ""

    present = {match["name"] for match in _SECTION.finditer(text)}
    text = _SECTION.sub(replaced, text)
    for place, section in enumerate(sections):
        if section.name in present or section.name in written:
            continue
        earlier = [each.name for each in sections[:place]]
        ends = [match.end() for match in _SECTION.finditer(text) if match["name"] in earlier]
        at = ends[-1] if ends else len(text)
        text = f"{text[:at]}\n{_written(section)}{text[at:]}"
    return text, kept


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _yaml(front: Mapping[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=120)}---\n"


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise OutputError(f"{where}: its front matter is not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(found, dict | None):
        raise OutputError(f"{where}: its front matter is not a mapping; fix it and rerun")
    return found or {}


def _state(text: str, where: str) -> dict[str, Any]:
    try:
        state = json.loads(text)
        return {"front": dict(state["front"]), "sections": list(state["sections"])}
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{where}: its comment phi3v-data:card is damaged; move the card away and rerun") from error
