"""Columns of a row become the turns of a record, as the user's mapping says.

`values` takes a value from a row, `media` the images, and `columns` is the base of the sources that map rows.
"""
