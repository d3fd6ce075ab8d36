"""How findings are reported: for people, as JSON lines, as annotations of GitHub, as SARIF."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from .base import Report, Write
from .github import GithubReport
from .json_lines import JsonReport
from .sarif import SarifReport
from .statistics import StatisticsReport
from .text import TextReport

__all__ = ["FORMATS", "Format", "Report", "StatisticsReport", "report_for"]

Format = Literal["text", "json", "github", "sarif"]
FORMATS: dict[Format, Callable[[Write], Report]] = {
    "text": TextReport,
    "json": JsonReport,
    "github": GithubReport,
    "sarif": SarifReport,
}


def report_for(form: Format, write: Write) -> Report:
    """Return the report of a format.

    Args:
        form: its name.
        write: takes one line after another.
    """
    return FORMATS[form](write)
