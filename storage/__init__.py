"""A folder of files, on this machine or on an object store, under one small interface.

Names are relative, use `/` and never leave the folder. Everything written is written whole or not at all: a file
appears under its name only when it is complete.

::

    opening           address -> folder; is a folder there and readable; the user's cache
    base              Folder: list, open, create, delete ...; names that stay inside
    local             LocalFolder: regular files only, renamed into place
    remote            RemoteFolder: an object store, through fsspec, with timeouts
    lock              one run at a time on an address of an object store
    outage            errors of the machine and the network; which of them are transient
    retry             RetryPolicy: attempts and pauses
    temporary_tables  tables in a temporary file, for more names than memory should hold
"""

from .base import Entry, Folder, name_key
from .local import PARTIAL, LocalFolder
from .opening import check_readable, check_writable, is_remote, open_folder, user_cache
from .remote import RemoteFolder

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
