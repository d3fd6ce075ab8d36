"""Rows of the files that data sets are published in: JSON, JSON lines, CSV, TSV, Parquet, Arrow.

One file is read as a stream of `Row`, flat in memory however long it is. What is no row keeps its place and says why,
and reading goes on behind it. Images that lie in a column stay there until a worker asks `RowImages` for them.
"""

from .read import ROW_SUFFIXES, read_rows
from .row import Row
from .row_images import RowImages

__all__ = ["ROW_SUFFIXES", "Row", "RowImages", "read_rows"]
