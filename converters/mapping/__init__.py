"""Columns of a row become the turns of a record: `values` takes them from the row, as the user maps it in `columns`."""
