"""The card of a dataset."""

from __future__ import annotations

from typing import Any

from huggingface_hub import DatasetCardData

from ...schema.dataset import Dataset
from .facts import Facts, Measured
from .sections import Section
from .source_text import SourceText, source_text
from .template import rendered_sections

FEATURES: list[dict[str, Any]] = [
    {"name": "id", "dtype": "string"},
    {"name": "source", "dtype": "string"},
    {
        "name": "conversations",
        "list": [
            {"name": "images", "list": "string"},
            {"name": "user", "dtype": "string"},
            {"name": "assistant", "dtype": "string"},
            {"name": "answers", "list": "string"},
            {"name": "supervised", "dtype": "bool"},
        ],
    },
    {"name": "meta", "dtype": "json"},
]
"""A record's fields as `datasets` takes them; without them it learns them from the first records, and may be wrong."""

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_MOST_SHOWN = 30


def front_matter(dataset: Dataset, facts: Facts) -> dict[str, Any]:
    """Return the front matter: what makes `load_dataset` find each split, and the hub show the rest.

    Args:
        dataset: the data.
        facts: its numbers.
    """
    source = source_text(dataset.manifest.source if dataset.manifest else "")
    records = sum(split.records for split in facts.splits)
    size = next((name for most, name in _SIZES if records < most), "n>1M")
    in_tars = bool(dataset.shards)
    files = {split: _pattern(tars) for split, tars in dataset.shards.items()} if in_tars else dataset.files
    shown = [split.split for split in facts.splits if split.records]
    config: dict[str, Any] = {
        "config_name": "default",
        "data_files": [{"split": split, "path": files[split]} for split in shown],
    }
    info: dict[str, Any] = {} if in_tars else {"dataset_info": [{"config_name": "default", "features": FEATURES}]}
    data = DatasetCardData(
        pretty_name=source.title,
        size_categories=[size],
        **{**source.front, "tags": ["phi3v-data", *source.front.get("tags", [])]},
        configs=[config],
        **info,
    )
    # The card class holds what the hub knows; keys without a value are left out.
    found: dict[str, Any] = data.to_dict()  # type: ignore[no-untyped-call]  # untyped in huggingface_hub
    return {key: value for key, value in found.items() if value is not None}


def dataset_sections(
    dataset: Dataset, facts: Facts, measured: Measured | None, command: str, address: str = "."
) -> list[Section]:
    """Return the card's sections.

    Args:
        dataset: the data.
        facts: its numbers.
        measured: sizes, tokens and findings; None where nobody looked yet.
        command: the command that makes it; "" where that is not known.
        address: what `load_dataset` is given: the folder itself, or a repository of the hub.
    """
    manifest = dataset.manifest
    source: SourceText = source_text(manifest.source if manifest else "")
    most_frequent = sorted(facts.labels, key=lambda label: (-facts.labels[label].total(), label))
    return rendered_sections(
        "dataset.md.j2",
        address=address,
        manifest=manifest,
        source=source,
        facts=facts,
        measured=measured,
        command=command,
        labels=most_frequent[:_MOST_SHOWN],
        more_labels=max(0, len(most_frequent) - _MOST_SHOWN),
        in_tars=bool(dataset.shards),
        splits=[split.split for split in facts.splits if split.records],
        rows={row.split: row for row in manifest.splits} if manifest else {},
    )


def _pattern(tars: list[str]) -> str | list[str]:
    """Return the one pattern for a split's tars, `...-000000.tar`; their names where there is none."""
    stems = {name.removesuffix(".tar").rstrip("0123456789") for name in tars}
    return f"{stems.pop()}*.tar" if len(stems) == 1 else tars
