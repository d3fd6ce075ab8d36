"""The name of a split, and which split a file belongs to by its name. Every source and every dataset asks here."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_VAL = {"val", "valid", "validation"}
# A split's name inside a longer one; the parts that are kept apart in it (test1, dev_seen) belong to it.
_WORD = r"(?:train|validation|valid|val|dev|test)\d{0,2}(?:[_-](?:seen|unseen))?"
_AT_THE_END = re.compile(rf"(?:^|.*[^a-z0-9])({_WORD})", re.IGNORECASE)
_AT_THE_START = re.compile(rf"({_WORD})(?:[^a-z0-9].*)?", re.IGNORECASE)
# As shards of a file are numbered: -00000-of-00007, -000012.
_SHARD_NUMBER = re.compile(r"-(?:\d+-of-\d+|\d{4,})$")


def split_name(name: str) -> str:
    """Return how a split is called here: `val`, `valid` and `validation` are `val`; every other name stays."""
    return "val" if name.lower() in _VAL else name


def split_of_file(path: str, default: str = "train") -> str:
    """Return the split that a file's path names.

    The file's own name counts first, where a split's name is a word at its end or its start, then the folders above it,
    the innermost first: `train-00000-of-00007.parquet`, `qa_val.jsonl`, `hateful-memes_dev_seen.jsonl`,
    `val_v1.0_withQT.json` and `test/rows.csv` name one.

    Args:
        path: relative, with `/`.
        default: the answer where no split is named.
    """
    *folders, name = PurePosixPath(path).parts or ("",)
    for part in (file_stem(name), *reversed(folders)):
        if found := _AT_THE_END.fullmatch(part) or _AT_THE_START.fullmatch(part):
            return split_name(found[1].lower())
    return default


def file_stem(path: str) -> str:
    """Return a file's name without its suffix and without the number of a shard."""
    return _SHARD_NUMBER.sub("", PurePosixPath(path).stem)
