"""Every error this package raises on purpose.

::

    Phi3VDataError
    ├── UsageError                what the caller gave cannot work: exit code 2
    │   ├── InputError              raw data: missing, empty, damaged, not what it should be
    │   │   └── HubError              the public copy could not be fetched
    │   ├── OutputError             the place to write to: not writable, or somebody else's
    │   ├── DatasetError            a dataset folder or a JSONL file that cannot be read as one
    │   │   └── RecordError           one line of it; names the file and the line
    │   ├── ModelFolderError        a model folder that is none, or of another model
    │   └── MissingDependencyError  an optional package; names the `pip install` that brings it
    └── RunError                  the work itself failed half-way: exit code 1
        ├── ItemError               one raw sample could not be converted (the engine quarantines it)
        │   └── MediaError            its video or image could not be decoded
        ├── ConversionStopped       a conversion ended early; what was done is kept
        └── RunStopped              a scheduler asked a training run to end: exit code 143

A message is one line: what was given, what was expected, what to do.
"""

from __future__ import annotations

from typing import ClassVar


class Phi3VDataError(Exception):
    """The root: everything raised on purpose, and the exit code the command line answers it with."""

    exit_code: ClassVar[int] = 1


class UsageError(Phi3VDataError):
    """What the caller gave cannot work."""

    exit_code = 2


class InputError(UsageError):
    """Raw data that is missing, empty, damaged or not what it should be."""


class HubError(InputError):
    """The public copy of a source could not be fetched."""


class OutputError(UsageError):
    """The place to write to cannot be written, or holds something that is not ours."""


class DatasetError(UsageError):
    """A dataset folder or JSONL file that cannot be read as one."""


class RecordError(DatasetError):
    """One line of a JSONL file that is no record; names the file and the line."""


class ModelFolderError(UsageError):
    """A model folder that is none, or holds another model."""


class MissingDependencyError(UsageError):
    """An optional package is needed and not installed.

    Args:
        package: the distribution's name, as `pip` knows it.
        purpose: what it is needed for.
        extra: the extra of phi3v-data that brings it.
    """

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs the package {package}, not installed: pip install 'phi3v-data[{extra}]'")


class RunError(Phi3VDataError):
    """The work itself failed half-way."""


class ItemError(RunError):
    """One raw sample could not be converted."""


class MediaError(ItemError):
    """A video or image could not be decoded."""


class ConversionStopped(RunError):
    """A conversion ended early; everything done so far is kept."""


class RunStopped(RunError):
    """A scheduler asked a training run to end, by SIGTERM; what it resumes from is saved."""

    exit_code = 143
