"""What a project says about validation: `[tool.phi3v-data.validate]` in pyproject.toml, or `[validate]` in phi3v.toml.

::

    [tool.phi3v-data.validate]
    select = ["R", "F", "P"]
    ignore = ["not-nfc"]
    num-crops = 16
    max-tokens = 8192

    [tool.phi3v-data.validate.per-path-ignores]
    "data/scans/*" = ["P303"]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ..errors import UsageError
from .registry import codes_for
from .rule import Finding, Level

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PROJECT, _OWN = "pyproject.toml", "phi3v.toml"


class Configuration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """The options that a file may set; each is what the flag of its name is.

    Args:
        level: how deep to look.
        select: codes, names or beginnings of codes of the rules that look.
        ignore: of those that do not.
        per_path_ignores: of those that do not look at files whose path matches a pattern.
        num_crops: most sub-crops an image.
        max_tokens: most tokens of a record.
    """

    level: Level | None = None
    select: list[str] = []
    ignore: list[str] = []
    per_path_ignores: dict[str, list[str]] = {}
    num_crops: Annotated[int, Meta(ge=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None


def find_configuration(start: Path) -> Configuration:
    """Read the file that is nearest to a folder: in it, or in one above.

    Raises:
        UsageError: the file is not TOML, or sets what there is not.
    """
    for folder in (start, *start.parents):
        for name, path in ((_OWN, ("validate",)), (_PROJECT, ("tool", "phi3v-data", "validate"))):
            table = _table(folder / name, path)
            if table is not None:
                try:
                    return msgspec.convert(table, Configuration)
                except msgspec.ValidationError as error:
                    raise UsageError(f"{folder / name}, [{'.'.join(path)}]: {error}") from error
    return Configuration()


def _table(file: Path, path: Iterable[str]) -> Any:
    if not file.is_file():
        return None
    try:
        found: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{file}: cannot be read ({error})") from error
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


class PathIgnores:
    """Rules that do not look at some paths.

    Args:
        patterns: of paths, relative to where the command is given or to the dataset folder; and codes, names or
            beginnings of codes.

    Raises:
        UsageError: one of them is no rule's.
    """

    def __init__(self, patterns: dict[str, list[str]]) -> None:
        self._codes = {pattern: codes_for("pixels", words) for pattern, words in patterns.items() if words}

    def __call__(self, finding: Finding, path: str) -> bool:
        """Tell whether a finding is one of those.

        Args:
            finding: the finding.
            path: of its file, from where the command is given.
        """
        paths = (path, finding.file, finding.image)
        for pattern, codes in self._codes.items():
            if finding.rule in codes and any(fnmatchcase(each, pattern) for each in paths if each):
                return True
        return False
