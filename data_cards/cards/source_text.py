"""What is known of a source: one file a source, its front matter for the hub, its text for people."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec
import yaml


class SourceText(msgspec.Struct, frozen=True):
    """A source's own part of a card.

    Args:
        front: keys of the front matter: licence, languages, tasks, tags.
        title: what the source is called.
        text: Markdown with headings of the third level: origin, licence, intended use, known biases.
        citation: BibTeX, "" where there is nothing to cite.
    """

    front: dict[str, Any]
    title: str
    text: str
    citation: str


def source_text(source: str) -> SourceText:
    """Return the text of a built-in source; of any other, what to fill in."""
    folder = files(__package__) / "sources"
    file = folder / f"{source}.md"
    if not file.is_file():
        file = folder / "other.md"
    _, head, body = file.read_text("utf-8").split("---\n", 2)
    front = yaml.safe_load(head)
    text, _, citation = body.partition("### Citation\n")
    return SourceText(front, front.pop("title"), text.strip(), citation.strip())
