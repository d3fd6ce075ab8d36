"""Class folders and split lists: what a folder's layout says about the files in it."""
