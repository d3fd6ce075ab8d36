"""Datasets on an object store are selected from, fixed and written to as on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from chosen import choose, labelled, tree
from s3_server import credentials, s3_server

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.errors import DatasetError, OutputError
from phi3v_data.schema.rules.registry import codes_for
from phi3v_data.schema.rules.settings import Settings
from phi3v_data.schema.select.fixing import fix
from phi3v_data.schema.select.selection import Selection
from phi3v_data.storage import Folder, LocalFolder, open_folder

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with s3_server() as (host, port), credentials(f"http://{host}:{port}"):
        fsspec.filesystem("s3").mkdir("chosen")
        yield "s3://chosen"


def copy(source: Folder, target: Folder) -> None:
    for entry in source.files():
        target.write(entry.name, source.read(entry.name))


def files(folder: Folder) -> dict[str, bytes]:
    return {entry.name: folder.read(entry.name) for entry in folder.files()}


def test_a_dataset_goes_to_a_store_and_back(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = labelled(tmp_path / "data", {"train": 5, "val": 2})
    selection = Selection(where=["label == 'cat'"], split_by="group")
    choose(tmp_path / "here", data, selection=selection)
    copy(LocalFolder(data), open_folder(f"{store}/data"))
    choose(f"{store}/there", f"{store}/data", selection=selection)
    assert files(open_folder(f"{store}/there")) == tree(tmp_path / "here")
    settings = Settings("files", codes_for("files"), workers=1)
    fix(f"{store}/data", open_dataset(f"{store}/data"), settings, f"{store}/fixed")
    fix(str(data), open_dataset(str(data)), settings, str(tmp_path / "fixed"))
    assert files(open_folder(f"{store}/fixed")) == tree(tmp_path / "fixed")


def test_what_cannot_work_on_a_store_is_refused_and_leaves_nothing(store: str, tmp_path: Path) -> None:
    data = labelled(tmp_path / "data", {"train": 2})
    (data / "images" / "train" / "1.png").unlink()
    with pytest.raises(DatasetError, match=r"images/train/1\.png: does not exist"):
        choose(f"{store}/lost", data)
    assert not open_folder(f"{store}/lost").exists("")
    open_folder(f"{store}/taken").write("mine", b"")
    with pytest.raises(OutputError, match="not empty"):
        choose(f"{store}/taken", data)
    with pytest.raises(OutputError, match="object stores have no links; give --images copy"):
        choose(f"{store}/new", data, selection=Selection(images="link"))
    settings = Settings("files", codes_for("files"), workers=1)
    with pytest.raises(OutputError, match="only a dataset folder on this machine is fixed in place"):
        fix(f"{store}/taken", open_dataset(str(data)), settings)
    with pytest.raises(OutputError, match="cannot be written"):
        choose("s3://no-such-bucket/out", data)
