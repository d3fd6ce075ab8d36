"""Other software that brings shuffled samples from files to a training loop, each by its own store and loader."""

from __future__ import annotations

import importlib
import itertools
import random
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from phi3v_data.schema.record import decode_record, encode_record

from .samples import RawSample


class Peer(Protocol):
    """A store that is opened at its beginning, or where `state` says."""

    def __init__(self, folder: Path, state: Any = None) -> None: ...

    @staticmethod
    def write(samples: Sequence[RawSample], folder: Path) -> None:
        """Fill a store."""

    def __iter__(self) -> Iterator[RawSample]: ...

    def state(self) -> Any:
        """Say where the iteration is, in the form that opening again takes."""


class WebDataset:
    """A tar, and a buffer that is drawn from; it cannot say where it is, so resuming reads and drops."""

    def __init__(self, folder: Path, state: Any = None) -> None:
        import webdataset

        tars = webdataset.WebDataset(str(folder / "train.tar"), shardshuffle=False)
        self._samples = tars.shuffle(100, rng=random.Random(0))
        self._seen = state or 0

    @staticmethod
    def write(samples: Sequence[RawSample], folder: Path) -> None:
        import webdataset

        with webdataset.TarWriter(str(folder / "train.tar")) as tar:
            for raw in samples:
                images = {f"{place:03d}.pic": data for place, data in enumerate(raw.images)}
                tar.write({"__key__": raw.record.id, "json": encode_record(raw.record), **images})

    def __iter__(self) -> Iterator[RawSample]:
        for sample in itertools.islice(iter(self._samples), self._seen, None):
            self._seen += 1
            images = [sample[name] for name in sorted(sample) if name.endswith(".pic")]
            yield RawSample(decode_record(sample["json"]), images)

    def state(self) -> int:
        return self._seen


class Datasets:
    """A Parquet file read as a stream, and a buffer that is drawn from."""

    def __init__(self, folder: Path, state: Any = None) -> None:
        import datasets

        files = str(folder / "train.parquet")
        stream = datasets.load_dataset(
            "parquet", data_files=files, split="train", streaming=True, cache_dir=str(folder / "cache")
        )
        self._stream = stream.shuffle(seed=0, buffer_size=100)
        if state is not None:
            self._stream.load_state_dict(state)

    @staticmethod
    def write(samples: Sequence[RawSample], folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            "record": [encode_record(raw.record) for raw in samples],
            "images": [raw.images for raw in samples],
        }
        pq.write_table(pa.table(columns), folder / "train.parquet", row_group_size=100)

    def __iter__(self) -> Iterator[RawSample]:
        for row in self._stream:
            yield RawSample(decode_record(row["record"]), row["images"])

    def state(self) -> Any:
        return self._stream.state_dict()


class MosaicStreaming:
    """MDS shards, in an order that follows from the seed; the state is the number of samples."""

    def __init__(self, folder: Path, state: Any = None) -> None:
        streaming = _import_streaming()
        # Whatever an interrupted run left in shared memory.
        streaming.base.util.clean_stale_shared_memory()
        self._dataset = streaming.StreamingDataset(
            local=str(folder), shuffle=True, shuffle_seed=0, batch_size=1, num_canonical_nodes=1
        )
        if state is not None:
            self._dataset.load_state_dict(state)
        self._seen = 0 if state is None else state["sample_in_epoch"]

    @staticmethod
    def write(samples: Sequence[RawSample], folder: Path) -> None:
        streaming = _import_streaming()
        images = {f"image{place}": "bytes" for place in range(len(samples[0].images))}
        with streaming.MDSWriter(out=str(folder), columns={"record": "bytes", **images}) as out:
            for raw in samples:
                own = {f"image{place}": data for place, data in enumerate(raw.images)}
                out.write({"record": encode_record(raw.record), **own})

    def __iter__(self) -> Iterator[RawSample]:
        for row in self._dataset:
            self._seen += 1
            images = [row[f"image{place}"] for place in range(len(row) - 1)]
            yield RawSample(decode_record(row["record"]), images)

    def state(self) -> Any:
        return self._dataset.state_dict(self._seen, from_beginning=True)


class LitData:
    """Chunks, in an order that follows from the seed; the loader keeps the state."""

    def __init__(self, folder: Path, state: Any = None) -> None:
        import litdata

        dataset = litdata.StreamingDataset(str(folder), shuffle=True, seed=0)
        self._loader = litdata.StreamingDataLoader(dataset, batch_size=1, num_workers=0, collate_fn=_only)
        if state is not None:
            self._loader.load_state_dict(state)

    @staticmethod
    def write(samples: Sequence[RawSample], folder: Path) -> None:
        from litdata.streaming.writer import BinaryWriter

        writer = BinaryWriter(str(folder), chunk_bytes=64_000_000)
        for number, raw in enumerate(samples):
            own = {f"image{place}": data for place, data in enumerate(raw.images)}
            writer.add_item(number, {"record": encode_record(raw.record), **own})
        writer.done()
        writer.merge(1)

    def __iter__(self) -> Iterator[RawSample]:
        for row in self._loader:
            images = [row[f"image{place}"] for place in range(len(row) - 1)]
            yield RawSample(decode_record(row["record"]), images)

    def state(self) -> Any:
        return self._loader.state_dict()


PEERS: dict[str, tuple[str, type[Peer]]] = {
    "webdataset": ("webdataset", WebDataset),
    "datasets, streaming": ("datasets", Datasets),
    "mosaicml-streaming": ("streaming", MosaicStreaming),
    "litdata": ("litdata", LitData),
}


def missing(module: str) -> str:
    """Say why a peer cannot be measured; empty where it can."""
    try:
        _import_streaming() if module == "streaming" else importlib.import_module(module)
    except ImportError as error:
        return str(error)
    return ""


def _import_streaming() -> Any:
    # It imports torchvision for classes that nothing here uses, and torchvision needs a torch for the same device.
    if "torchvision" not in sys.modules:
        stand_in = {name: types.ModuleType(name) for name in ("torchvision", "torchvision.datasets")}
        functional = "torchvision.transforms.functional"
        stand_in |= {name: types.ModuleType(name) for name in ("torchvision.transforms", functional)}
        vars(stand_in["torchvision.datasets"]).update(VisionDataset=object, CIFAR10=object)
        vars(stand_in[functional])["to_tensor"] = None
        sys.modules.update(stand_in)
    return importlib.import_module("streaming")


def _only(batch: list[Any]) -> Any:
    (sample,) = batch
    return sample
