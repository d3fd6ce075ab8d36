"""On an object store, as files, compressed and in shards, is found what is found here."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from s3_server import S3Server, credentials
from validated import validated

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.rules.examples import Drawing, Example, line
from phi3v_data.schema.rules.rule import Finding

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

RECORDS = [line("a", images=["a.jpg"]), line("b", images=["b.jpg", "none.jpg"]), line("a", user="<s>"), "{}"]
FILES: dict[str, str | Drawing] = {
    "x_train.jsonl": "\n".join(RECORDS) + "\n",
    "images/a.jpg": Drawing(cut=100),
    "images/b.jpg": Drawing("PNG", seed=1),
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the dataset on a store."""
    Example(FILES).write(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = S3Server()
    with credentials(server.url):
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        files = fsspec.filesystem("s3")
        files.mkdir("validated")
        files.put(str(tmp_path / "here") + "/", "validated/data/", recursive=True)
        files.pipe_file("validated/packed/x_train.jsonl.gz", gzip.compress("\n".join(RECORDS).encode()))
        yield "s3://validated/data"
        server.stop()
        fsspec.get_filesystem_class("s3").clear_instance_cache()


def placed(found: list[Finding]) -> list[tuple[str, int, str, str]]:
    return [(each.rule, each.line, each.id, each.image) for each in found]


def test_a_store_is_validated_like_a_folder(store: str, tmp_path: Path) -> None:
    here = placed(validated(tmp_path / "here", level="pixels")[0])
    assert {code for code, *_ in here} == {"R106", "R113", "F206", "F211", "P301", "T401"}
    assert placed(validated(open_dataset(store), level="pixels")[0]) == here
    packed = placed(validated(open_dataset("s3://validated/packed/x_train.jsonl.gz"), level="records")[0])
    assert packed == [each for each in here if each[0] in ("R106", "R113", "T401")]
