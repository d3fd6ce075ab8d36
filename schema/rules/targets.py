"""Which datasets an address means: one, or all that lie below a folder."""

from __future__ import annotations

from pathlib import Path

from ...storage import is_remote
from ..dataset import Dataset, datasets_under, open_dataset
from ..errors import DatasetError
from ..jsonl import JSONL_SUFFIXES
from ..layout import BEFORE_FIX, MANIFEST


def open_targets(addresses: tuple[str, ...]) -> list[tuple[str, Dataset]]:
    """Open what is to be validated, each dataset with its address.

    Args:
        addresses: datasets, or folders of datasets; none for every dataset under data/.

    Raises:
        DatasetError: an address is no dataset, and none lies below it.
    """
    found = [each for address in addresses for each in _datasets(address)] if addresses else datasets_under()
    return [(address, open_dataset(address)) for address in found]


def _datasets(address: str) -> list[str]:
    try:
        open_dataset(address)
    except DatasetError:
        below = [] if is_remote(address) else _below(Path(address))
        if not below:
            raise
        return below
    return [address]


def _below(root: Path) -> list[str]:
    """Return every folder below that holds a manifest or records, and none that lies inside another."""
    found: list[str] = []
    for folder in sorted(each for each in root.iterdir() if each.is_dir()) if root.is_dir() else ():
        if BEFORE_FIX in folder.name:
            continue
        names = [each.name for each in folder.iterdir() if each.is_file()]
        if MANIFEST in names or any(name.endswith(JSONL_SUFFIXES) for name in names):
            found.append(str(folder))
        else:
            found += _below(folder)
    return found
