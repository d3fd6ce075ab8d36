"""Columns of a row become the turns of a record, as the user's mapping says.

`values` takes values and images from a row, and `columns` is the base of the sources that map rows.
"""
