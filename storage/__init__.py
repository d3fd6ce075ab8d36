"""A folder of files, on this machine or on an object store, under one small interface.

Names are relative, use `/` and never leave the folder. Everything written is written whole or not at all: a file
appears under its name only when it is complete.
"""

from .base import Entry, Folder, name_key
from .local import PARTIAL, LocalFolder
from .opening import check_readable, is_remote, open_folder
from .remote import RemoteFolder

__all__ = [
    "PARTIAL",
    "Entry",
    "Folder",
    "LocalFolder",
    "RemoteFolder",
    "check_readable",
    "is_remote",
    "name_key",
    "open_folder",
]
