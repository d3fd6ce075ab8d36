"""A source to start from: `my_source.py`, its test and its card, written under a new name.

The converter is a whole one, of images with an answer beside each: it has an option, splits by hash, and refuses what
it cannot use by name.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from ...schema.errors import OutputError, UsageError
from ...storage.outage import one_line
from ..registry import source_names

_FILES = ("my_source.py", "test_my_source.py", "my_source.md")


def write_template(name: str, out: str) -> tuple[Path, str]:
    """Write `<name>.py`, `test_<name>.py` and `<name>.md` into a folder, which is made where there is none.

    Returns:
        The converter's file, and the name of the class in it.

    Raises:
        UsageError: it cannot be a name, or is taken.
        OutputError: one of the files is there already, or the folder cannot be written.
    """
    if name.endswith(".py"):
        bare = name.removesuffix(".py").rpartition("/")[2]
        raise UsageError(f"{name}: expected a name such as {bare}, without .py; its folder is given as --out DIR")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(f"{name!r} cannot name a source here; expected lower-case letters, digits and _: my_source")
    if name in source_names():
        raise UsageError(f"there is a source {name!r} already; choose another name")
    class_name = "".join(word.capitalize() for word in name.split("_"))
    folder = Path(out)
    places = {file: folder / file.replace("my_source", name) for file in _FILES}
    if taken := [place for place in places.values() if place.exists()]:
        raise OutputError(f"{taken[0]}: there already; choose another name, or another folder: --out DIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, place in places.items():
            text = (Path(__file__).parent / file).read_text(encoding="utf-8")
            place.write_text(text.replace("my_source", name).replace("MySource", class_name), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({one_line(error)}); give a folder: --out DIR") from error
    return folder / f"{name}.py", class_name
