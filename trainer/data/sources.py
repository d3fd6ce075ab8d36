"""The datasets that a run is trained on, and their shares."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from ...schema.dataset import Dataset
from ...storage import is_remote
from ..config import DataConfig
from .shard_cache import ShardCache
from .steady_folder import SteadyFolder

_GB = 10**9


class Source(NamedTuple):
    """A dataset, and its share beside the others'.

    Args:
        dataset: the data.
        weight: its share in the samples, in proportion to the other datasets'; None in all of them for their sizes.
    """

    dataset: Dataset
    weight: Fraction | None = None


def shard_cache(config: DataConfig) -> ShardCache:
    """Return where copies of shards are kept on this node."""
    if config.cache_folder is not None:
        root = Path(config.cache_folder)
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "phi3v-data" / "shards"
    return ShardCache(root, int(config.cache_gb * _GB))


def steady(sources: Sequence[Source], config: DataConfig) -> list[Source]:
    """Let data on an object store, or all of it where a cache folder was named, be read from copies on this disk."""
    cache = shard_cache(config)
    return [
        source._replace(dataset=dataclasses.replace(source.dataset, folder=SteadyFolder(source.dataset.folder, cache)))
        if is_remote(source.dataset.folder.address) or config.cache_folder is not None
        else source
        for source in sources
    ]
