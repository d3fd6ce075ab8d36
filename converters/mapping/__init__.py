"""Columns of a row become the turns of a record, as the user's mapping says."""
