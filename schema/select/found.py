"""What the validator found in a dataset, by record and by image."""

from __future__ import annotations

from collections.abc import Iterable

from ..rules.dataset import FOLDERS
from ..rules.files import IMAGES
from ..rules.rule import Finding


def is_about_records(code: str) -> bool:
    """Tell whether a rule finds single records; the others find what is wrong with a split or a dataset."""
    return code not in FOLDERS.rules and not code.startswith("S")


class Found:
    """Findings, to be asked for by record.

    An image's own findings are told once for all records that show it, and hold for each of them.

    Args:
        findings: of one dataset.
        in_shards: whether its images are in shards alone; each record has its own there.
    """

    def __init__(self, findings: Iterable[Finding] = (), in_shards: bool = False) -> None:
        self._lines: dict[tuple[str, int], list[Finding]] = {}
        self._images: dict[str, list[Finding]] = {}
        for finding in findings:
            if finding.line:
                self._lines.setdefault((finding.file, finding.line), []).append(finding)
                if finding.rule in IMAGES.rules and not in_shards:
                    known = self._images.setdefault(finding.image, [])
                    if all(each.rule != finding.rule for each in known):
                        known.append(finding)

    def __bool__(self) -> bool:
        return bool(self._lines)

    def of_line(self, file: str, line: int) -> list[Finding]:
        """Return the findings of a line."""
        return self._lines.get((file, line), [])

    def of_record(self, file: str, line: int, images: Iterable[str]) -> list[Finding]:
        """Return the findings of a line, and those of the images that its record shows.

        Args:
            file: where the line lies.
            line: its number.
            images: paths relative to `images/`.
        """
        found = list(self.of_line(file, line))
        if self._images:
            here = {(finding.rule, finding.image) for finding in found}
            for name in images:
                for finding in self._images.get(f"images/{name}", ()):
                    if (finding.rule, finding.image) not in here:
                        here.add((finding.rule, finding.image))
                        found.append(finding)
        return found
