"""Images that several items show, and items that discovery knows to be faulty."""

from __future__ import annotations

from typing import Any

import pytest
from conversions import Pages, rows
from PIL import Image
from validated import validated

from phi3v_data.converters.engine import run
from phi3v_data.converters.engine.local import LocalExecutor
from phi3v_data.converters.images import ImageSettings
from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.errors import ConversionStopped
from phi3v_data.schema.jsonl import read_records
from phi3v_data.schema.layout import read_manifest
from phi3v_data.schema.shards import Shard
from phi3v_data.storage import LocalFolder


def test_a_image_that_several_items_show_is_stored_once_and_read_once(pages: Pages) -> None:
    pages.page("a")
    pages.page("b")
    pages.ask(*[{"page": page} for page in "aabaab"])
    manifest = pages.bench.convert(workers=1).manifest
    assert pages.images() == ["pages/a.png", "pages/b.png"]
    assert pages.log("reads.log") == ["a", "b"]
    assert (manifest.splits[0].written, manifest.splits[0].images) == (6, 6)


def test_items_that_share_a_image_go_to_the_worker_that_has_it(pages: Pages) -> None:
    names = [f"page{number:02d}" for number in range(30)]
    for name in names:
        pages.page(name)
    pages.ask(*({"page": name} for name in names for _ in range(4)))
    pages.bench.convert(workers=2)
    # In the end, the first that is idle may help the other.
    assert set(pages.log("reads.log")) == set(names)
    assert len(pages.log("reads.log")) <= 32


def test_a_worker_forgets_the_image_asked_for_least_recently(pages: Pages) -> None:
    names = [f"page{number:02d}" for number in range(65)]
    for name in names:
        pages.page(name)
    pages.ask(*[{"page": name} for name in (*names[:64], names[0], names[64], names[0], names[1])])
    pages.bench.convert(workers=1)
    assert pages.log("reads.log") == [*names, names[1]]


def test_what_failed_items_leave_stays_where_another_shows_it_and_goes_where_none_does(pages: Pages) -> None:
    pages.typical()
    summary = pages.bench.convert()
    assert rows(summary) == {"train": (10, 3, 7, 0), "val": (2, 1, 1, 0)}
    assert pages.images() == ["pages/a.png", "pages/c.back.png", "pages/c.png"]
    assert validated(open_dataset(str(pages.bench.root / "out")), select=["R", "F", "D"])[0] == []
    found = {line["path"]: (line["stage"], line["message"]) for line in pages.bench.quarantine()}
    assert found["questions.jsonl:2"] == ("convert", "there is no answer")
    assert found["questions.jsonl:9"][0] == found["questions.jsonl:10"][0] == "decode"
    assert found["questions.jsonl:12"][0] == "open"


class _Backwards(LocalExecutor):
    def run(self, works: Any) -> Any:
        return super().run(reversed(list(works)))


def test_the_bytes_do_not_depend_on_who_stores_a_shared_image(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    pages.typical()
    pages.bench.convert("one", workers=1)
    pages.bench.convert("three", workers=3)
    monkeypatch.setattr(run, "LocalExecutor", _Backwards)
    pages.bench.convert("backwards")
    assert pages.bench.files("one") == pages.bench.files("three") == pages.bench.files("backwards")


@pytest.mark.parametrize("other", [{"shared": "another"}, {"shared": ""}])
def test_items_of_one_prefix_that_do_not_share_are_quarantined(pages: Pages, other: dict[str, str]) -> None:
    pages.page("a")
    pages.ask({"page": "a"}, {"page": "a", **other}, {"page": "a"})
    assert rows(pages.bench.convert()) == {"train": (3, 2, 1, 0)}
    (line,) = pages.bench.quarantine()
    assert (line["path"], line["stage"]) == ("questions.jsonl:2", "plan")
    assert "would overwrite those of questions.jsonl:1" in line["message"]
    assert pages.images() == ["pages/a.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["image-half-written:2", "image-written:3", "journal-appended:4", "records-written:1"]
)
def test_a_killed_run_ends_in_the_same_bytes(pages: Pages, point: str) -> None:
    pages.typical()
    assert pages.bench.command("out", inject=f"{point}:kill-all").returncode == -9
    pages.bench.convert()
    pages.bench.convert("whole")
    assert pages.bench.files() == pages.bench.files("whole")


def test_a_retry_stores_again_what_nobody_showed_before(pages: Pages) -> None:
    pages.typical()
    pages.bench.convert()
    pages.page("missing")
    pages.page("damaged")
    summary = pages.bench.convert(retry_quarantined=True)
    assert rows(summary) == {"train": (10, 5, 5, 0), "val": (2, 2, 0, 0)}
    pages.bench.convert("whole")
    assert pages.bench.files() == pages.bench.files("whole")


def test_a_shared_image_that_was_damaged_meanwhile_is_stored_again(pages: Pages) -> None:
    pages.page("a")
    pages.ask({"page": "a"}, {"page": "a"}, {"page": "back"})
    assert pages.bench.command("out", "--workers", "1", inject="journal-appended:2:kill-all").returncode == -9
    (pages.bench.root / "out/images/pages/a.png").write_bytes(b"")
    pages.bench.convert()
    pages.bench.convert("whole")
    assert pages.bench.files() == pages.bench.files("whole")


@pytest.mark.parametrize("images", [True, False])
def test_every_sample_of_a_shard_carries_the_shared_image(pages: Pages, images: bool) -> None:
    pages.typical()
    summary = pages.bench.convert(shard_size=1 << 20, image_files=images)
    folder = LocalFolder(pages.bench.root / "out")
    (name,) = summary.manifest.splits[0].shards
    with Shard(folder, name) as shard:
        samples = {entry.id: list(sample.images) for entry, sample in zip(shard.entries, shard, strict=True)}
    raw = (pages.bench.input / "pages" / "a").read_bytes()
    assert samples["q0001"] == samples["q0003"] == [raw]
    assert validated(open_dataset(str(folder.path)), select=["R", "F", "D"])[0] == []


def test_a_damaged_copy_in_a_shard_is_found_although_another_is_sound(pages: Pages) -> None:
    pages.page("a")
    pages.ask({"page": "a"}, {"page": "a"})
    summary = pages.bench.convert(shard_size=1 << 20, image_files=False)
    path = pages.bench.root / "out" / summary.manifest.splits[0].shards[0]
    with Shard(LocalFolder(pages.bench.root / "out"), summary.manifest.splits[0].shards[0]) as shard:
        offset, size = shard.entries[1].images[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + size] = bytes(size)
    path.write_bytes(bytes(data))
    (finding,) = validated(open_dataset(str(pages.bench.root / "out")), select=["F"])[0]
    assert (finding.rule, finding.id) == ("F208", "q0002")


def test_a_page_whose_many_questions_fail_in_a_row_does_not_stop_the_run(pages: Pages) -> None:
    pages.page("a")
    pages.ask(*[{"page": "missing"}] * 60, {"page": "a"})
    assert rows(pages.bench.convert()) == {"train": (61, 1, 60, 0)}


def test_a_faulty_row_is_quarantined_by_its_place_and_no_worker_sees_it(pages: Pages) -> None:
    pages.page("a")
    pages.ask({"page": "a"}, "{no", {"page": "a"}, "nothing")
    assert rows(pages.bench.convert()) == {"train": (4, 2, 2, 0)}
    assert sorted(pages.log("work.log")) == ["questions.jsonl:1", "questions.jsonl:3"]
    first, _ = pages.bench.quarantine()
    assert first == {
        "id": "questions.jsonl:2",
        "split": "train",
        "path": "questions.jsonl:2",
        "stage": "discover",
        "exception": "ItemError",
        "message": "not valid JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))",
    }


def test_faulty_rows_are_counted_alike_by_a_resumed_run_and_a_retry(pages: Pages) -> None:
    pages.page("a")
    pages.ask("{no", {"page": "a"}, {"page": "missing"}, "{no")
    killed = pages.bench.command("out", "--workers", "1", inject="journal-appended:1:kill-all")
    assert killed.returncode == -9
    assert rows(pages.bench.convert()) == {"train": (4, 1, 3, 0)}
    pages.bench.convert("whole")
    assert pages.bench.files() == pages.bench.files("whole")
    pages.page("missing")
    assert rows(pages.bench.convert(retry_quarantined=True)) == {"train": (4, 2, 2, 0)}
    assert [line["stage"] for line in pages.bench.quarantine()] == ["discover", "discover"]


def test_nothing_is_removed_for_the_sake_of_an_item_that_was_never_begun(pages: Pages) -> None:
    pages.ask("{no", {"page": "back"}, {"page": "missing"})
    pages.bench.convert()
    outside = pages.bench.root / "out" / "outside.png"
    outside.write_bytes(b"not ours")
    pages.bench.convert(retry_quarantined=True)
    assert outside.read_bytes() == b"not ours"


def test_a_faulty_row_stops_the_run_where_no_failure_may_be(pages: Pages) -> None:
    pages.page("a")
    pages.ask({"page": "a"}, "{no")
    with pytest.raises(ConversionStopped, match=r"questions\.jsonl:2 \(discover: ItemError: not valid JSON"):
        pages.bench.convert(on_error="fail")


def test_images_are_stored_by_the_settings_that_the_manifest_holds(pages: Pages) -> None:
    Image.effect_mandelbrot((700, 350), (-2, -1, 1, 1), 20).convert("RGB").save(
        pages.bench.input / "pages" / "a", "JPEG"
    )
    pages.ask({"page": "a"})
    pages.bench.convert(images=ImageSettings(fit_crops=1))
    assert pages.images() == ["pages/a.png"]
    with Image.open(pages.bench.root / "out/images/pages/a.png") as stored:
        assert stored.size == (336, 168)
    (record,) = read_records(LocalFolder(pages.bench.root / "out"), "questions_train.jsonl")
    assert list(record.images()) == ["pages/a.png"]
    options = read_manifest(LocalFolder(pages.bench.root / "out")).options
    assert {name: options[name] for name in ImageSettings.__struct_fields__} == {
        "quality": 75,
        "image_format": "keep",
        "max_pixels": None,
        "max_side": None,
        "fit_crops": 1,
    }
