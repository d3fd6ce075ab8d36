"""Rows of ids of different lengths become one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Side: TypeAlias = Literal["left", "right"]


def pad_rows(rows: Sequence[Sequence[int]], fill: int, side: Side) -> Tensor:
    """Stack rows as int64 [rows, longest], shorter ones filled up on one side."""
    longest = max(len(row) for row in rows)
    out = torch.full((len(rows), longest), fill, dtype=torch.int64)
    for row, ids in zip(out, rows, strict=True):
        part = slice(longest - len(ids), None) if side == "left" else slice(len(ids))
        row[part] = torch.tensor(ids, dtype=torch.int64)
    return out


def attention_mask(rows: Sequence[Sequence[int]], side: Side) -> Tensor:
    """Mark what is not padding in `pad_rows` of the same rows: by length, for padding may share its id with text."""
    return pad_rows([[1] * len(row) for row in rows], 0, side)
