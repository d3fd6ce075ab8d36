"""Findings that are known: only what is new is reported."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import xxhash

from ..errors import UsageError
from .rule import Finding


class Baseline:
    """The findings of an earlier report, as `--format json` writes it.

    A finding is known by its rule, its file, and its record's id (its line, where it has none); so edits elsewhere in a
    file do not make old findings new.

    Args:
        path: of the report.

    Raises:
        UsageError: there is none, or it is not such a report.
    """

    def __init__(self, path: Path) -> None:
        self._left: Counter[int] = Counter()
        try:
            with path.open("rb") as stream:
                for line in stream:
                    if line.strip() and not line.startswith(b'{"summary"'):
                        self._left[_key(msgspec.json.decode(line, type=Finding))] += 1
        except FileNotFoundError:
            raise UsageError(f"{path}: no such baseline; write one with: validate --format json > {path}") from None
        except OSError as error:
            what = f"{path}: cannot be read ({error.strerror or error})"
            raise UsageError(f"{what}; expected a report of validate --format json") from error
        except msgspec.DecodeError as error:
            what = f"{path}: not a report of validate --format json ({error})"
            raise UsageError(f"{what}; write one with: validate --format json > FILE") from error

    def knows(self, finding: Finding) -> bool:
        """Tell whether a finding is in the report; as often as it is there."""
        key = _key(finding)
        if not self._left[key]:
            return False
        self._left[key] -= 1
        return True


def _key(finding: Finding) -> int:
    place = finding.id or str(finding.line)
    text = "\0".join((finding.rule, finding.file, place, finding.image))
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))
