"""The pages themselves: a template, styles and scripts, copied beside the data."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import jinja2
import msgspec

from ... import __version__
from ...schema.errors import OutputError
from ...storage import Folder

SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'"
)
"""Scripts, styles and images of the report's own files, and nothing else: no inline script, no network."""

_MARK = "report.json"
_SHARED = ("base", "text", "data", "charts", "grid", "viewer", "prompt", "keys")
_SCRIPTS = {
    "dataset": ("filters", "records", "record", "overview", "distributions", "findings", "duplicates", "quarantine"),
    "runs": ("curves", "settings", "predictions", "prediction", "confusion", "runs"),
}


def claim(folder: Folder, kind: str) -> None:
    """Make room for a report: remove what an earlier one left, a broken-off one included.

    Raises:
        OutputError: the folder holds something that is no report.
    """
    held = [entry.name for entry in folder.list()] if folder.exists("") else []
    if held and _MARK not in held:
        raise OutputError(f"{folder.address}: holds files that are no report ({held[0]}); choose another --out")
    folder.write(_MARK, msgspec.json.encode({"kind": kind, "phi3v_data": __version__}) + b"\n")
    folder.delete("index.html")
    folder.delete("data")


def write_pages(
    folder: Folder, kind: str, title: str, summary: dict[str, Any], tabs: Sequence[tuple[str, str]]
) -> None:
    """Write what opens: `index.html`, last of all, and its styles and scripts.

    Args:
        folder: the report.
        kind: `dataset` or `runs`.
        title: shown in the page's head.
        summary: what the page says to those who run no scripts: names and values.
        tabs: address and name of each view.
    """
    scripts = [f"{name}.js" for name in (*_SHARED, *_SCRIPTS[kind], "start")]
    pages = files(__package__) / "pages"
    for name in ("report.css", *scripts):
        folder.write(f"assets/{name}", (pages / name).read_bytes())
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((pages / "index.html.j2").read_text())
    page = template.render(
        policy=SECURITY_POLICY, title=title, kind=kind, summary=summary, tabs=tabs, scripts=scripts, version=__version__
    )
    folder.write("index.html", page.encode())
