"""Rows of the files that data sets are published in: JSON, JSON lines, CSV, TSV, Parquet, Arrow.

One file is read as a stream of `Row`, flat in memory however long it is. What is no row keeps its place and says why,
and reading goes on behind it. Pictures that lie in a column stay there until a worker asks `RowPictures` for them.
"""

from .read import ROW_SUFFIXES, read_rows
from .row import Row
from .row_pictures import RowPictures

__all__ = ["ROW_SUFFIXES", "Row", "RowPictures", "read_rows"]
