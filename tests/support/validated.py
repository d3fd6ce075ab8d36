"""A dataset as the validator sees it: every finding, and the summary."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from phi3v_data.schema.dataset import Dataset, open_dataset
from phi3v_data.schema.rules.examples import Example
from phi3v_data.schema.rules.registry import codes_for
from phi3v_data.schema.rules.rule import Finding, Level
from phi3v_data.schema.rules.settings import Limits, Settings
from phi3v_data.schema.rules.validate import Summary, Validation


def validated(
    *datasets: Dataset | Path,
    level: Level = "files",
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    workers: int = 1,
    engine: Literal["local", "ray"] = "local",
    **limits: Any,
) -> tuple[list[Finding], Summary]:
    """Validate datasets in this process."""
    opened = [open_dataset(str(each)) if isinstance(each, Path) else each for each in datasets]
    settings = Settings(level, codes_for(level, select, ignore), Limits(**limits), workers, engine=engine)
    validation = Validation([(each.folder.address, each) for each in opened], settings)
    return list(validation.findings()), validation.summary


def found_in(example: Example, folder: Path) -> set[str]:
    """Return the codes of the rules that find something in an example, written into a folder."""
    example.write(folder)
    return {finding.rule for finding in validated(folder, level="pixels", **example.settings)[0]}
