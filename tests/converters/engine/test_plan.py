from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.converters.base import ImageSink, Item
from phi3v_data.converters.engine.plan import Names, Plan, Selection, make_plan
from phi3v_data.schema.errors import ConversionStopped, InputError, UsageError
from phi3v_data.schema.record import Record
from phi3v_data.storage import Folder, LocalFolder


@dataclass(frozen=True)
class Listed:
    """A source that finds what it is told."""

    name: ClassVar[str] = "listed"
    input: Folder = field(default_factory=lambda: LocalFolder(os.curdir))
    items: tuple[Item, ...] = ()

    def discover(self) -> Iterator[Item]:
        yield from self.items

    def convert(self, item: Item, images: ImageSink) -> Record:
        raise NotImplementedError


_spools = ExitStack()


@pytest.fixture(scope="module", autouse=True)
def _closed_spools() -> Iterator[None]:
    with _spools:
        yield


def _spool() -> IO[bytes]:
    return _spools.enter_context(TemporaryFile())


def item(name: str, split: str = "train", **changes: Any) -> Item:
    return Item(**{"id": name, "split": split, "path": f"raw/{name}", "images": f"{split}/{name}", **changes})


def plan(*items: Item, splits: tuple[str, ...] | None = None, limit: int | None = None) -> Plan:
    return make_plan(Listed(items=items), Selection(splits, limit), _spool())


def messages(made: Plan) -> list[str | None]:
    return [planned.failure.message if planned.failure else None for planned in made]


def test_a_plan_gives_the_items_back_in_order_as_often_as_asked() -> None:
    made = plan(item("b", data={"n": [1, None]}), item("a"))
    assert [p.item.id for p in made] == [p.item.id for p in made] == ["b", "a"]
    assert next(iter(made)).item.data == {"n": [1, None]}
    assert len(made) == 2


def test_two_items_of_one_id_leave_the_second_out_by_name() -> None:
    made = plan(item("a"), item("a", path="raw/other", images="train/other"))
    assert messages(made) == [None, "its id 'a' is already that of raw/a"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("clip", "clip"),
        ("clip", "CLIP"),
        ("Straße", "STRASSE"),
        (unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")),
    ],
    ids=["equal", "case", "sharp s", "unicode form"],
)
def test_two_items_that_would_share_an_image_name_leave_the_second_out(first: str, second: str) -> None:
    made = plan(item("1", images=f"train/{first}"), item("2", images=f"train/{second}"))
    assert messages(made) == [None, f"its images 'train/{second}' would overwrite those of raw/1; rename it"]
    assert [p.failure.stage for p in made if p.failure] == ["plan"]


@pytest.mark.parametrize("name", ["../up", "/root", "a/../b", "C:/x", "a\\b", "nul\x00", ""])
def test_an_image_name_that_leaves_the_dataset_is_refused(name: str) -> None:
    assert messages(plan(item("1", images=name))) != [None]


@pytest.mark.parametrize("name", ["with space", "ü/日本", "new\nline", "dot.in.name", "a..b"])
def test_odd_but_possible_names_are_planned(name: str) -> None:
    assert messages(plan(item("1", path=name, images=f"train/{name}"))) == [None]


def test_a_name_that_is_no_unicode_is_quarantined_and_spelt_out() -> None:
    made = plan(item("1", path=os.fsdecode(b"raw/\xff.avi"), images=os.fsdecode(b"train/\xff")))
    assert messages(made) == ["its name is not valid Unicode; rename it"]
    assert next(iter(made)).item.path == "raw/\\udcff.avi"


def test_splits_and_limit_skip_and_count_what_they_leave_out() -> None:
    items = [item(f"{split}{n}", split) for split in ("train", "val") for n in range(4)]
    made = plan(*items, splits=("val",), limit=3)
    assert {name: (s.discovered, s.skipped) for name, s in made.splits.items()} == {"train": (4, 4), "val": (4, 1)}
    assert [p.item.id for p in made if not p.skipped] == ["val0", "val1", "val2"]


def test_what_is_skipped_takes_no_names_from_what_is_wanted() -> None:
    made = plan(item("1", images="x"), item("2", "val", images="x"), splits=("val",))
    assert messages(made) == [None, None]


def test_an_unknown_split_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(UsageError, match="no split 'vall'; this source has: train, val"):
        plan(item("1"), item("2", "val"), splits=("vall", "val"))


def test_a_source_without_items_is_bad_input() -> None:
    with pytest.raises(InputError, match="nothing to convert"):
        plan()


@pytest.mark.parametrize("split", ["../x", "a/b", "", ".hidden", "a\nb", "a\\b"])
def test_a_split_that_cannot_name_a_file_is_bad_input(split: str) -> None:
    with pytest.raises(InputError, match="cannot name a file"):
        plan(item("1", split, images="p"))


def test_two_splits_that_would_share_a_file_are_bad_input() -> None:
    with pytest.raises(InputError, match="would share a file"):
        plan(item("1", "Train"), item("2", "train"))


def test_item_data_that_is_not_json_is_blamed_on_the_converter() -> None:
    with pytest.raises(UsageError, match=r"Item\.data"):
        plan(item("1", data={"what": object()}))


def test_a_source_that_cannot_be_listed_is_bad_input(tmp_path: Path) -> None:
    class Torn(Listed):
        def discover(self) -> Iterator[Item]:
            yield item("1")
            raise PermissionError(13, "Permission denied")

    with pytest.raises(InputError, match="cannot be read through"):
        make_plan(Torn(LocalFolder(tmp_path)), Selection(), _spool())


class _OwnExit(BaseException):
    """No Exception, as a plug-in's framework may have it."""


@pytest.mark.parametrize(
    ("error", "shown"),
    [(KeyError("label"), "KeyError: 'label'"), (SystemExit(3), "SystemExit: 3"), (_OwnExit("done"), "_OwnExit: done")],
)
def test_whatever_a_source_raises_is_one_line_with_its_name_and_the_type(error: BaseException, shown: str) -> None:
    class Buggy(Listed):
        def discover(self) -> Iterator[Item]:
            yield item("1")
            raise error

    with pytest.raises(UsageError) as raised:
        make_plan(Buggy(), Selection(), _spool())
    expected = rf"the source listed failed while it looked for samples: {re.escape(shown)} \(test_plan\.py, line \d+\)"
    assert re.fullmatch(expected, str(raised.value))


def test_items_that_share_an_image_may_have_its_name_and_no_others_may() -> None:
    shared = [item(name, images="train/page", shared="page.png") for name in ("1", "2", "3")]
    alone, another = item("4", images="train/PAGE"), item("5", images="train/page", shared="other.png")
    taken = "its images 'train/{}' would overwrite those of raw/1; rename it"
    assert messages(plan(*shared, alone, another)) == [None, None, None, taken.format("PAGE"), taken.format("page")]


def test_an_item_that_shares_its_image_still_needs_an_id_of_its_own() -> None:
    made = plan(*(item("1", path=path, images="page", shared="page.png") for path in ("a", "b")))
    assert messages(made) == [None, "its id '1' is already that of a"]


def test_what_discovery_found_unusable_is_one_line_and_takes_no_names() -> None:
    made = plan(
        item("1", failure="not valid JSON:\nline 3\udcff"), item("1"), item("2", images="train/1", failure="no page")
    )
    assert messages(made) == ["not valid JSON: line 3\\udcff", None, "no page"]
    assert [(p.failure.stage, p.failure.exception) for p in made if p.failure] == [("discover", "ItemError")] * 2


def test_an_item_without_more_is_written_down_without_more() -> None:
    from phi3v_data.converters.engine.messages import encode

    assert encode(item("1")) == b'{"id":"1","split":"train","path":"raw/1","images":"train/1"}'


_PLANNED = """
import resource, sys, tempfile
from phi3v_data.converters.base import Item
from phi3v_data.converters.engine.plan import Selection, make_plan
from phi3v_data.storage import LocalFolder

class Rows:
    name = "rows"
    input = LocalFolder(".")
    def __init__(self, count):
        self.count = count
    def discover(self):
        for n in range(self.count):
            yield Item(id=f"train-{n:010d}", split="train", path=f"train.jsonl:{n}", images=f"pages/{n:010d}")

for count in (1_000, 50_000):
    with tempfile.TemporaryFile() as stream:
        make_plan(Rows(count), Selection(), stream)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_plan_of_fifty_thousand_items_needs_no_more_memory_than_one_of_a_thousand() -> None:
    run = subprocess.run([sys.executable, "-c", _PLANNED], check=True, capture_output=True, text=True)
    few, many = map(int, run.stdout.split())
    assert many - few < 4_000  # KiB; strings of them all would take more than three times that


def test_names_that_outgrow_the_temporary_files_stop_the_run_in_one_line() -> None:
    with Names() as names:
        names.execute("PRAGMA max_page_count = 2")
        many = (names.take("id", str(number), item(str(number))) for number in range(10_000))
        with pytest.raises(ConversionStopped, match=r"cannot be kept in a temporary file \(.*full\)") as raised:
            list(many)
    assert "\n" not in str(raised.value)


def test_a_plan_counts_what_failed_already_and_knows_the_first() -> None:
    made = plan(item("a"), item("b", failure="no page"), item("a", images="train/other"))
    assert made.failed == 2
    assert made.first_failed is not None
    assert made.first_failed.path == "raw/b"


def test_the_digest_tells_plans_apart() -> None:
    digests = {plan(item("1")).digest, plan(item("2")).digest, plan(item("1"), item("2")).digest}
    assert len(digests) == 3
    assert plan(item("1")).digest == plan(item("1")).digest


_names = st.text(st.characters(codec="utf-8"), max_size=6)


@given(st.lists(st.tuples(_names, _names), min_size=1, max_size=12))
def test_whatever_the_names_no_two_planned_items_share_id_or_images(names: list[tuple[str, str]]) -> None:
    made = plan(*(Item(id=identity, split="train", path="p", images=prefix) for identity, prefix in names))
    kept = [p.item for p in made if p.failure is None]
    assert len(made) == len(names)
    assert len({i.id for i in kept}) == len({i.images.casefold() for i in kept}) == len(kept)
