"""The state of a run as named tensors on disk, written and read in parts by torch's distributed checkpoints.

Whoever holds which part of a tensor when it is written does not matter to who reads it: another number of processes,
or another backend. Nothing is unpickled but the table of contents, and that by a reader that knows a handful of plain
classes.
"""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from torch import OutOfMemoryError, Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from ...schema.errors import ModelFolderError, Phi3VDataError, RunError
from ..processes import Processes

_METADATA = ".metadata"
# What a table of contents of tensors is made of. BytesStorageMetadata is not among it: its items are pickles.
_PLAIN = {
    ("torch.distributed.checkpoint.metadata", name)
    for name in (
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    )
} | {
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    ("torch", "Size"),
    *(("torch", dtype) for dtype in ("float32", "bfloat16", "float16", "float64", "int64", "uint8")),
    ("collections", "OrderedDict"),
    ("pathlib", "PosixPath"),
    ("pathlib._local", "PosixPath"),
}


def save_tensors(
    tensors: Mapping[str, Tensor], folder: Path, processes: Processes, *, spread: bool = True
) -> Future[None]:
    """Copy tensors to memory, and write them from there while the run goes on.

    Args:
        tensors: by name; every process passes its own parts, or the same whole tensors.
        folder: where to.
        processes: those that train.
        spread: whether every process calls this; otherwise one does, with whole tensors.

    Returns:
        Is done when all processes have written their parts. Raises RunError where one of them could not.
    """
    writing = async_save(
        dict(tensors),
        storage_writer=FileSystemWriter(folder, sync_files=True),
        process_group=processes.writer_group,
        no_dist=not spread or processes.world == 1,
    )
    if not isinstance(writing, Future):
        raise TypeError(f"async_save returned a {type(writing).__name__}, not a future")
    done: Future[None] = Future()

    def pass_on(finished: Future[Any]) -> None:
        error = finished.exception()
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(RunError(f"{folder}: cannot be written ({_reason(error)}); free some space and rerun"))

    writing.add_done_callback(pass_on)
    return done


def load_tensors(tensors: Mapping[str, Tensor], folder: Path, processes: Processes) -> None:
    """Fill tensors in place, each process its own parts; called by every process.

    Raises:
        ModelFolderError: the folder is damaged, or holds other tensors than these.
    """
    reader = _PlainReader(folder)
    try:
        held = reader.read_metadata().state_dict_metadata
        _compare(tensors, held, folder)
        load(dict(tensors), storage_reader=reader, process_group=processes.host_group, no_dist=processes.world == 1)
    except (Phi3VDataError, OutOfMemoryError):
        raise
    except (Exception, CheckpointException) as error:
        # A damaged table of contents leads the reader to errors of every kind.
        raise ModelFolderError(f"{folder}: cannot be read ({_reason(error)}); use an earlier checkpoint") from error


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PLAIN:
            raise pickle.UnpicklingError(f"its table of contents asks for {module}.{name}, which is refused")
        return super().find_class(module, name)


class _PlainReader(FileSystemReader):
    """torch's reader, without its unguarded unpickling of the table of contents."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        with (Path(self.path) / _METADATA).open("rb") as stream:
            metadata = _PlainUnpickler(stream).load()
        if not isinstance(metadata, Metadata):
            raise pickle.UnpicklingError("its table of contents is none")
        metadata.storage_meta = StorageMeta(load_id=self.load_id)
        return metadata


def _compare(tensors: Mapping[str, Tensor], held: Mapping[str, Any], folder: Path) -> None:
    """Refuse a checkpoint of other tensors, in the words of the first that differs."""
    for name, tensor in tensors.items():
        entry = held.get(name)
        wanted = list(tensor.shape)
        if not isinstance(entry, TensorStorageMetadata):
            found = "is not in it"
        elif list(entry.size) != wanted:
            found = f"is {list(entry.size)} in it and {wanted} here"
        else:
            continue
        raise ModelFolderError(f"{folder}: of another model or strategy ({name} {found}); use a checkpoint of this run")
    if extra := held.keys() - tensors.keys():
        raise ModelFolderError(f"{folder}: of another strategy (it trains {min(extra)}, too); use the same --strategy")


def _reason(error: BaseException) -> str:
    """Return the root of an error in one line."""
    if isinstance(error, CheckpointException):
        error = next((each for each, _ in error.failures.values()), error)
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on the disk"
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else " ".join(str(error).split())
