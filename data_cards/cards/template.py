"""Sections of a card from a Jinja template: each block of it is one."""

from __future__ import annotations

import json
from importlib.resources import files

import jinja2

from .markdown import code, plain, table
from .sections import Section


def rendered_sections(template: str, **values: object) -> list[Section]:
    """Render every block of a template, in order; an empty one makes no section.

    Args:
        template: its file name.
        values: what it shows; values of the data pass through the filters `plain` or `code`.
    """
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML; `plain` and `code` escape what comes from the data
    )
    environment.filters |= {"plain": plain, "code": code, "tojson_plain": json.dumps}
    environment.globals |= {"table": table}
    loaded = environment.from_string((files(__package__) / "templates" / template).read_text("utf-8"))
    context = loaded.new_context(dict(values))
    sections = [Section(name, "".join(block(context)).strip()) for name, block in loaded.blocks.items()]
    return [section for section in sections if section.text]
