"""Tables about a dataset, kept beside it for as long as it stays what it was."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import msgspec
import pyarrow as pa

from ...storage import Folder, LocalFolder, is_remote
from ...storage.outage import one_line
from ..dataset import Dataset
from ..errors import DatasetError, OutputError
from ..shard_index import index_names
from .table import read_table, write_table

_FOLDER = ".index"
# Asking a store about a file is a round trip; this many are under way at a time.
_QUESTIONS = 16


class _Fingerprint(msgspec.Struct, frozen=True):
    """A file's SHA-256, and the fingerprint that it had when it was read for it."""

    fingerprint: str
    sha256: str


class TableCache:
    """The tables of one split, in the hidden folder `.index` beside the data.

    Where that cannot be written, or the data is on an object store, they are in the user's cache folder
    ($XDG_CACHE_HOME, or ~/.cache). Everything in them can be made again: the folder may be removed at any time.

    Args:
        dataset: the data.
        split: which of it.
    """

    def __init__(self, dataset: Dataset, split: str) -> None:
        self._dataset, self._split = dataset, split
        # A manifest comes from strangers, and so does what it calls a split.
        self._name = quote(split, safe="")
        self.folder = tables_folder(dataset.folder)
        """Where the tables are."""
        self.digest = self._digest()
        """SHA-256 over what tells the split's records: a JSONL's bytes, or shards' indexes and tars' fingerprints."""

    def table(
        self,
        kind: str,
        settings: str,
        schema: pa.Schema,
        build: Callable[[], Iterable[pa.RecordBatch]],
        *,
        anew: bool = False,
    ) -> pa.Table:
        """Return a table, made now if it is not there whole.

        Args:
            kind: what it tells; with the schema's version, if that ever changes.
            settings: what else it follows from, beside the data.
            schema: of its rows.
            build: makes them.
            anew: make it, whatever is there.
        """
        key = f"{kind} {self.digest} {settings}"
        name = f"{self._name}.{hashlib.sha256(key.encode()).hexdigest()[:16]}.{kind}.arrow"
        found = None if anew else read_table(self.folder, name, key)
        if found is None:
            with self._writing():
                write_table(self.folder, name, key, schema, build())
            found = read_table(self.folder, name, key)
        if found is None:
            raise OutputError(f"{self.folder.path}/{name}: written, but read back as something else; check the disk")
        return found

    def _digest(self) -> str:
        data = self._dataset
        if self._split in data.shards:
            tars = data.shards[self._split]
            indexes = self._sha256(index_names(data.folder, tars))
            parts = [*indexes, *tars, *_fingerprints(data.folder, tars)]
        else:
            parts = self._sha256([data.files[self._split]])
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _sha256(self, names: list[str]) -> list[str]:
        """Hash files, but for those that still have the fingerprint they had when they were last hashed."""
        known_name = f"{self._name}.fingerprints.json"
        known: dict[str, _Fingerprint] = {}
        with contextlib.suppress(OSError, msgspec.DecodeError):
            known = msgspec.json.decode(self.folder.read(known_name), type=dict[str, _Fingerprint])
        hashed = {}
        for name, fingerprint in zip(names, _fingerprints(self._dataset.folder, names), strict=True):
            earlier = known.get(name)
            if earlier is None or earlier.fingerprint != fingerprint:
                earlier = _Fingerprint(fingerprint, self._dataset.folder.sha256(name))
            hashed[name] = earlier
        if any(known.get(name) != each for name, each in hashed.items()):
            with self._writing():
                self.folder.write(known_name, msgspec.json.encode({**known, **hashed}))
        return [hashed[name].sha256 for name in names]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.folder.path}: the index cannot be written ({one_line(error)})") from error


def _fingerprints(folder: Folder, names: Sequence[str]) -> list[str]:
    try:
        if not is_remote(folder.address):
            return [folder.fingerprint(name) for name in names]
        with ThreadPoolExecutor(_QUESTIONS) as pool:
            return list(pool.map(folder.fingerprint, names))
    except FileNotFoundError as error:
        raise DatasetError(f"{folder.address}: a file is missing ({error.filename or error})") from error


def tables_folder(folder: Folder) -> LocalFolder:
    """Return the folder for the tables about a dataset folder, and make it; see `TableCache`.

    Raises:
        OutputError: it can be nowhere.
    """
    identity = folder.address
    if not is_remote(identity):
        beside = Path(identity) / _FOLDER
        if _writable(beside):
            return LocalFolder(beside)
        identity = str(Path(identity).resolve())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "phi3v-data" / "index" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    if not _writable(path):
        raise OutputError(f"{path}: cannot be written, and the index must lie somewhere; set XDG_CACHE_HOME")
    return LocalFolder(path)


def _writable(path: Path) -> bool:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(path, os.W_OK)
