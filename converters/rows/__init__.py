"""Rows of the files that data sets are published in: JSON, JSON lines, CSV, TSV, Parquet, Arrow.

One file is read as a stream of `Row`, flat in memory however long it is. What is not a row keeps its place with
the reason, and reading continues behind it. Images in a column stay there until a worker asks the `ImageReader`
for them.
"""

from .image_ref import ImageReader, ImageRef, RowImages
from .read import ROW_SUFFIXES, InputFile, Row, input_file, read_rows

__all__ = ["ROW_SUFFIXES", "ImageReader", "ImageRef", "InputFile", "Row", "RowImages", "input_file", "read_rows"]
