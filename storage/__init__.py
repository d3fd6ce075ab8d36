"""A folder of files, on this machine or on an object store, under one small interface.

Names are relative, use `/` and never leave the folder. Everything written is written whole or not at all: a file
appears under its name only when it is complete.

::

    folder            Folder: list, open, create, delete ...; LocalFolder: regular files only, renamed into place
    remote            RemoteFolder: an object store, through fsspec, with timeouts; address -> folder
    lock              one run at a time on an address of an object store
    outage            errors of the machine and the network, which of them are transient, trying again
    temporary_tables  tables in a temporary file, for more names than memory should hold
"""

from .folder import PARTIAL, Entry, Folder, LocalFolder, name_key, user_cache
from .outage import check_readable, check_writable
from .remote import RemoteFolder, is_remote, open_folder

__all__ = [
    "PARTIAL",
    "Entry",
    "Folder",
    "LocalFolder",
    "RemoteFolder",
    "check_readable",
    "check_writable",
    "is_remote",
    "name_key",
    "open_folder",
    "user_cache",
]
