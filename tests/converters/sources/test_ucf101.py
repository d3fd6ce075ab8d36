"""The source ucf101: the public subset and plain folders of classes, and the recipe's records."""

from __future__ import annotations

import hashlib
import os
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import fsspec
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_ucf101 import PROMPT, Shown, converted, found, refusal, source
from record_meta import meta_of

from phi3v_data.converters.sources.ucf101 import UCF101
from phi3v_data.converters.video.sampling import Sampling
from phi3v_data.schema.errors import UsageError
from phi3v_data.schema.record import decode_record, encode_record
from phi3v_data.storage import Entry, LocalFolder

SUBSET = (
    "test/Archery/v_Archery_g05_c02.avi",
    "train/Archery/v_Archery_g01_c01.avi",
    "train/BabyCrawling/v_BabyCrawling_g21_c04.avi",
    "val/Yoga/v_Yoga_g03_c01.avi",
    "train/Archery/v_Archery_g01_c02.avi",
)


# The public subset


def test_a_record_equals_the_recipes(place: Callable[..., Path], clip: Path) -> None:
    records = converted(place(*SUBSET), sampling=Sampling(frames=2))
    assert msgspec.to_builtins(records[3]) == {
        "id": "val-0000000003",
        "source": "ucf101",
        "conversations": [
            {
                "images": ["val/Yoga/v_Yoga_g03_c01.0.jpg", "val/Yoga/v_Yoga_g03_c01.1.jpg"],
                "user": f"{PROMPT}Archery, BabyCrawling, Yoga.",
                "assistant": "Yoga",
            }
        ],
        "meta": {
            "group": "g03",
            "label": "Yoga",
            "video": "val/Yoga/v_Yoga_g03_c01.avi",
            "sha256": hashlib.sha256(clip.read_bytes()).hexdigest(),
            "frames": [0, 5],
            "pts": pytest.approx([0.0, 0.2]),
        },
    }
    assert [decode_record(encode_record(record)) for record in records] == records


def test_one_index_runs_over_train_val_and_test(place: Callable[..., Path]) -> None:
    assert [(item.id, item.path) for item in found(place(*SUBSET))] == [
        ("train-0000000000", "train/Archery/v_Archery_g01_c01.avi"),
        ("train-0000000001", "train/Archery/v_Archery_g01_c02.avi"),
        ("train-0000000002", "train/BabyCrawling/v_BabyCrawling_g21_c04.avi"),
        ("val-0000000003", "val/Yoga/v_Yoga_g03_c01.avi"),
        ("test-0000000004", "test/Archery/v_Archery_g05_c02.avi"),
    ]


def test_the_images_are_the_frames_that_the_record_names(place: Callable[..., Path]) -> None:
    made, shown = source(place("train/A/a.avi"), sampling=Sampling(frames=3)), Shown()
    (item,) = made.discover()
    record = made.convert(item, shown)
    assert list(record.images()) == list(shown.images) == [f"train/A/a.{number}.jpg" for number in range(3)]
    assert meta_of(record)["frames"] == [0, 3, 6]
    assert [int(image.mean()) for image in shown.images.values()] == pytest.approx([0, 60, 120], abs=6)


def test_only_the_split_train_jitters(place: Callable[..., Path]) -> None:
    root = place(*(f"{split}/A/{number}.avi" for split in ("train", "val", "test") for number in range(6)))
    frames: dict[str, set[tuple[int, ...]]] = {"train": set(), "val": set(), "test": set()}
    for record in converted(root, sampling=Sampling(frames=2, jitter=True)):
        frames[record.id.partition("-")[0]].add(tuple(meta_of(record)["frames"]))
    assert frames["val"] == frames["test"] == {(0, 5)}
    assert len(frames["train"]) > 1


def test_a_folder_around_the_splits_changes_nothing_in_the_records(place: Callable[..., Path]) -> None:
    inner = place(*(f"UCF101_subset/{name}" for name in SUBSET))
    assert converted(inner) == converted(inner / "UCF101_subset")


def test_one_split_alone_is_a_subset_too(place: Callable[..., Path]) -> None:
    assert [item.id for item in found(place("val/A/a.avi"))] == ["val-0000000000"]


def test_a_clip_beside_the_splits_is_not_lost_in_silence(place: Callable[..., Path]) -> None:
    message = refusal(place("train/A/a.avi", "validation/A/a.avi"))
    assert "validation/A/a.avi: a clip beside the splits train" in message
    assert "rename its folder to train, val or test" in message


def test_what_holds_no_clips_beside_the_splits_is_no_matter(place: Callable[..., Path]) -> None:
    assert len(found(place("train/A/a.avi", "notes/readme.txt", "empty/", "readme.md"))) == 1


def test_classes_called_like_splits_are_classes(place: Callable[..., Path]) -> None:
    items = found(place("train/a.avi", "plane/b.avi"))
    assert [item.images for item in items] == ["train/plane/b", "train/train/a"]


# The prompt


def test_the_prompt_is_a_template_over_the_classes(place: Callable[..., Path]) -> None:
    root = place("A/a.avi", "B/b.avi")
    asked = [record.conversations[0].user for record in converted(root, prompt=("{{ labels | join(' or ') }}?",))]
    assert asked == ["A or B?", "A or B?"]
    with pytest.raises(UsageError, match="names 'label'; this source has: labels"):
        source(root, prompt=("{{ label }}",))


# A plain folder of classes


def test_a_plain_folder_of_classes_is_all_train(place: Callable[..., Path]) -> None:
    root = place("walk/a.mp4", "run/b.mkv", "run/A.AVI", "readme.txt")
    assert [(item.id, item.path) for item in found(root)] == [
        ("train-0000000000", "run/A.AVI"),
        ("train-0000000001", "run/b.mkv"),
        ("train-0000000002", "walk/a.mp4"),
    ]


def test_a_clip_without_a_group_in_its_name_has_none(place: Callable[..., Path]) -> None:
    (record,) = converted(place("wave/RATRACE_wave_f_nm_np1_fr_goo_37.avi"))
    assert "group" not in meta_of(record)


def test_stems_that_differ_after_a_dot_keep_apart(place: Callable[..., Path]) -> None:
    records = converted(place("A/v.a.avi", "A/v.b.avi", "A/v.avi", "A/v.0.avi"))
    names = [name for record in records for name in record.images()]
    assert len(set(names)) == len(names) == 4 * 8
    assert {"train/A/v.a.0.jpg", "train/A/v.b.0.jpg"} <= set(names)


def test_clips_that_differ_in_the_suffix_alone_are_two_samples(
    place: Callable[..., Path],
) -> None:
    assert [item.images for item in found(place("A/v.avi", "A/v.mp4"))] == ["train/A/v.avi", "train/A/v.mp4"]


@pytest.mark.parametrize("name", ["Café au lait", "走る", "two\nlines", "a, b", "C:D", "%41", "-rf", "emoji 🏃"])
def test_names_of_every_kind_convert(place: Callable[..., Path], name: str) -> None:
    (record,) = converted(place(f"{name}/{name}.avi"))
    assert meta_of(record)["label"] == record.conversations[0].assistant == name
    assert next(record.images()) == f"train/{name}/{name}.0.jpg"
    assert decode_record(encode_record(record)) == record


def test_the_order_is_that_of_code_points_whatever_the_unicode_form(place: Callable[..., Path]) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    root = place(*(f"A/{stem}.avi" for stem in (composed, "z", decomposed, "B", "a")))
    assert [item.path for item in found(root)] == [f"A/{stem}.avi" for stem in ("B", "a", decomposed, "z", composed)]


class Shuffled(LocalFolder):
    """A folder whose file system lists in some other order, as `list` must not let through."""

    def __init__(self, path: Path, seed: int) -> None:
        super().__init__(path)
        self.random = random.Random(seed)

    def list(self, name: str = "") -> list[Entry]:
        real = os.scandir

        def scandir(path: str) -> object:
            entries = sorted(real(path), key=lambda entry: entry.name)
            self.random.shuffle(entries)

            class Listing(list):  # type: ignore[type-arg]  # a list that is also a context
                def __enter__(self) -> Listing:
                    return self

                def __exit__(self, *_: object) -> None: ...

            return Listing(entries)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "scandir", scandir)
            return super().list(name)


@settings(max_examples=25, deadline=None)
@given(
    names=st.sets(
        st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=8)
    ),
    seed=st.integers(),
)
def test_the_plan_does_not_depend_on_the_order_in_which_a_folder_is_listed(
    names: set[str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("listing")
    kept = sorted(name for name in names if not name.startswith(".")) or ["a"]
    for split in ("train", "val"):
        (root / split / "Class").mkdir(parents=True)
        for name in kept:
            (root / split / "Class" / f"{name}.avi").touch()
    plans = [list(UCF101(input=folder).discover()) for folder in (LocalFolder(root), Shuffled(root, seed))]
    assert plans[0] == plans[1]
    assert [item.path.split("/")[-1] for item in plans[0]] == sorted(f"{name}.avi" for name in kept) * 2


# Elsewhere


def test_an_object_store_gives_the_same_records(place: Callable[..., Path]) -> None:
    root, store = place(*SUBSET), fsspec.filesystem("memory")
    store.put(str(root), "/ucf101-test", recursive=True)
    try:
        assert converted("memory://ucf101-test") == converted(root)
    finally:
        store.rm("/ucf101-test", recursive=True)


@pytest.mark.real_data
def test_the_real_clips_convert(real_data: Path, tmp_path: Path) -> None:
    for name, label in [("v_SoccerJuggling_g23_c01.avi", "SoccerJuggling"), ("R6llTwEh07w.mp4", "kinetics")]:
        (tmp_path / label).mkdir()
        (tmp_path / label / name).symlink_to(real_data / "video" / name)
    soccer, kinetics = converted(tmp_path)
    assert meta_of(soccer)["group"] == "g23"
    assert len(meta_of(soccer)["frames"]) == len(meta_of(kinetics)["frames"]) == 8
    assert "group" not in meta_of(kinetics)
