"""Class folders and split lists: what a folder's layout tells about the files in it.

`layouts` are the ways in which files lie in folders, `labelled_folder` is the base of the sources that read them.
"""
