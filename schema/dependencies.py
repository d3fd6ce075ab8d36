"""Optional packages: a missing one is one clear line with the `pip install` that brings it."""

from __future__ import annotations

import importlib.util

from .errors import MissingDependencyError


def require(module: str, *, purpose: str, extra: str, package: str | None = None) -> None:
    """Make sure an optional package is installed, without importing it.

    Args:
        module: the name it is imported by.
        purpose: what needs it; begins the message.
        extra: the extra of phi3v-data that brings it.
        package: the name `pip` knows it by, where that differs from the module's.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise MissingDependencyError(package or module, purpose, extra)
