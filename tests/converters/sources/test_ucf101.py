"""The source ucf101: three raw forms, the recipe's records, and bad input in one clear line each."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import fsspec
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from phi3v_data.converters.base import Item
from phi3v_data.converters.media.sampling import Sampling
from phi3v_data.converters.media.synthesis import write_clip
from phi3v_data.converters.sources.ucf101 import UCF101
from phi3v_data.schema.errors import InputError, ItemError, MediaError
from phi3v_data.schema.folder import Entry, LocalFolder, open_folder
from phi3v_data.schema.record import Record, decode_record, encode_record

FRAMES = 10
PROMPT = "Classify the video into one of the following classes: "


class Shown:
    """Keeps the pictures it is given."""

    def __init__(self) -> None:
        self.pictures: dict[str, np.ndarray] = {}

    def save(self, name: str, picture: np.ndarray | Image.Image) -> str:
        assert name not in self.pictures
        self.pictures[name] = np.asarray(picture)
        return name


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of ten frames that get brighter."""
    frames = (np.full((32, 48, 3), 20 * number, np.uint8) for number in range(FRAMES))
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.avi", frames)


@pytest.fixture
def place(tmp_path: Path, clip: Path) -> Callable[..., Path]:
    """Lay out clips, other files and folders (with a slash at the end) by their paths."""

    def lay_out(*names: str, at: str = "raw") -> Path:
        root = tmp_path / at
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
            elif path.suffix.lower() in {".avi", ".mp4", ".mkv"}:
                shutil.copyfile(clip, path)
            else:
                path.write_text("not a clip")
        return root

    return lay_out


def source(folder: Path | str, **options: object) -> UCF101:
    return UCF101(input=open_folder(folder), **options)  # type: ignore[arg-type]  # options of any type


def found(folder: Path | str, **options: object) -> list[Item]:
    return list(source(folder, **options).discover())


def converted(folder: Path | str, **options: object) -> list[Record]:
    made = source(folder, **options)
    return [made.convert(item, Shown()) for item in made.discover()]


def refusal(folder: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        found(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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


def test_the_pictures_are_the_frames_that_the_record_names(place: Callable[..., Path]) -> None:
    made, shown = source(place("train/A/a.avi"), sampling=Sampling(frames=3)), Shown()
    (item,) = made.discover()
    record = made.convert(item, shown)
    assert list(record.images()) == list(shown.pictures) == [f"train/A/a.{number}.jpg" for number in range(3)]
    assert record.meta["frames"] == [0, 3, 6]
    assert [int(picture.mean()) for picture in shown.pictures.values()] == pytest.approx([0, 60, 120], abs=6)


def test_only_the_split_train_jitters(place: Callable[..., Path]) -> None:
    root = place(*(f"{split}/A/{number}.avi" for split in ("train", "val", "test") for number in range(6)))
    frames = {"train": set(), "val": set(), "test": set()}
    for record in converted(root, sampling=Sampling(frames=2, jitter=True)):
        frames[record.id.partition("-")[0]].add(tuple(record.meta["frames"]))
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
    assert "train, val, test" in message


def test_what_holds_no_clips_beside_the_splits_is_no_matter(place: Callable[..., Path]) -> None:
    assert len(found(place("train/A/a.avi", "notes/readme.txt", "empty/", "readme.md"))) == 1


def test_classes_called_like_splits_are_classes(place: Callable[..., Path]) -> None:
    items = found(place("train/a.avi", "plane/b.avi"))
    assert [item.pictures for item in items] == ["train/plane/b", "train/train/a"]


# The full dataset


def full(place: Callable[..., Path], base: str = "") -> Path:
    root = place(
        f"{base}UCF-101/Archery/v_Archery_g01_c01.avi",
        f"{base}UCF-101/Archery/v_Archery_g08_c01.avi",
        f"{base}UCF-101/Yoga/v_Yoga_g01_c01.avi",
        f"{base}UCF-101/Yoga/v_Yoga_g08_c01.avi",
        f"{base}ucfTrainTestlist/classInd.txt",
    )
    lists = root / base / "ucfTrainTestlist"
    (lists / "trainlist01.txt").write_bytes(b"Yoga/v_Yoga_g08_c01.avi 2\r\nArchery/v_Archery_g08_c01.avi 1\r\n")
    (lists / "testlist01.txt").write_text("Archery/v_Archery_g01_c01.avi\n\nYoga/v_Yoga_g01_c01.avi\n")
    (lists / "trainlist02.txt").write_text("\ufeffArchery/v_Archery_g01_c01.avi 1\nYoga/v_Yoga_g01_c01.avi 2\n")
    (lists / "testlist02.txt").write_text("Archery/v_Archery_g08_c01.avi\nYoga/v_Yoga_g08_c01.avi\n")
    return root


def test_the_lists_of_the_fold_say_which_clip_is_in_which_split(place: Callable[..., Path]) -> None:
    root = full(place)
    assert [(item.id, item.path, item.pictures) for item in found(root)] == [
        ("train-0000000000", "UCF-101/Archery/v_Archery_g08_c01.avi", "train/Archery/v_Archery_g08_c01"),
        ("train-0000000001", "UCF-101/Yoga/v_Yoga_g08_c01.avi", "train/Yoga/v_Yoga_g08_c01"),
        ("test-0000000002", "UCF-101/Archery/v_Archery_g01_c01.avi", "test/Archery/v_Archery_g01_c01"),
        ("test-0000000003", "UCF-101/Yoga/v_Yoga_g01_c01.avi", "test/Yoga/v_Yoga_g01_c01"),
    ]
    assert [item.id[:-11] + item.path[-12:-8] for item in found(root, fold=2)] == [
        "train_g01",
        "train_g01",
        "test_g08",
        "test_g08",
    ]
    record = converted(root)[0]
    assert record.conversations[0].user == f"{PROMPT}Archery, Yoga."
    assert converted(root, fold=2)[0].conversations[0].user == record.conversations[0].user
    assert record.meta["video"] == "Archery/v_Archery_g08_c01.avi"


def test_the_lists_are_found_beside_and_inside_the_folder_of_clips(place: Callable[..., Path]) -> None:
    root = full(place)
    expected = converted(root)
    assert converted(root / "UCF-101") == expected
    (root / "ucfTrainTestlist").rename(root / "UCF-101" / "ucfTrainTestlist")
    assert converted(root / "UCF-101") == expected
    assert converted(root) == expected


def test_the_full_dataset_may_lie_inside_one_more_folder(place: Callable[..., Path]) -> None:
    root = full(place, "download/")
    assert converted(root) == converted(root / "download")


def test_a_relative_address_finds_the_lists_beside(place: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(full(place) / "UCF-101")
    assert [item.split for item in found(".")] == ["train", "train", "test", "test"]


def test_a_listed_clip_that_is_missing_fails_by_name(place: Callable[..., Path]) -> None:
    root = full(place)
    (root / "UCF-101" / "Yoga" / "v_Yoga_g08_c01.avi").unlink()
    made = source(root)
    items = list(made.discover())
    assert len(items) == 4
    assert items[1].path == "UCF-101/Yoga/v_Yoga_g08_c01.avi"
    with pytest.raises(MediaError, match="no such clip"):
        made.convert(items[1], Shown())
    made.convert(items[0], Shown())


def test_a_clip_in_no_list_is_counted_and_fails_by_name(place: Callable[..., Path]) -> None:
    full(place)
    made = source(place("UCF-101/Yoga/extra.avi"))
    item = list(made.discover())[-1]
    assert (item.id, item.split, item.path) == ("unlisted-0000000004", "unlisted", "UCF-101/Yoga/extra.avi")
    with pytest.raises(ItemError, match=r"in no list of fold 1; .*--splits train,test"):
        made.convert(item, Shown())


def test_a_class_of_which_every_clip_is_missing_is_still_in_the_prompt(place: Callable[..., Path]) -> None:
    root = full(place)
    shutil.rmtree(root / "UCF-101" / "Yoga")
    made = source(root)
    first, *_ = made.discover()
    assert made.convert(first, Shown()).conversations[0].user == f"{PROMPT}Archery, Yoga."


def test_the_full_dataset_without_its_lists_says_what_to_do(place: Callable[..., Path]) -> None:
    root = place("UCF-101/Archery/v_Archery_g01_c01.avi")
    message = refusal(root)
    assert "without its lists; put ucfTrainTestlist/ beside it" in message
    assert [item.split for item in found(root / "UCF-101")] == ["train"]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("trainlist01.txt", None, "no such list"),
        ("testlist01.txt", "\n", "test"),
        ("testlist01.txt", "../../etc/a.avi\n", "line 1: '../../etc/a.avi' is no clip"),
        ("testlist01.txt", "../a.avi\n", "line 1: '../a.avi' is no clip"),
        ("testlist01.txt", "\nv_Yoga_g01_c01.avi\n", "line 2: 'v_Yoga_g01_c01.avi' is no clip"),
        (
            "testlist01.txt",
            "Yoga/v_Yoga_g01_c01.avi\nYoga/v_Yoga_g01_c01.avi",
            "line 2: .* already stands in testlist01",
        ),
        ("testlist01.txt", "Yoga/v_Yoga_g08_c01.avi", "line 1: .* already stands in trainlist01"),
        ("testlist01.txt", "Yoga/caf\udce9.avi", "not UTF-8"),
    ],
)
def test_a_bad_list_is_refused_with_its_line(
    place: Callable[..., Path], name: str, text: str | None, fault: str
) -> None:
    root = full(place)
    path = root / "ucfTrainTestlist" / name
    path.unlink()
    if text is not None:
        path.write_bytes(os.fsencode(text))
    if text == "\n":
        (root / "ucfTrainTestlist" / "trainlist01.txt").write_text("")
        fault = "trainlist01.txt and testlist01.txt name no clip"
    with pytest.raises(InputError, match=fault):
        found(root)


def test_names_with_spaces_stand_in_lists_with_and_without_a_number(place: Callable[..., Path]) -> None:
    full(place)
    root = place("UCF-101/Tai Chi/one two.avi", "UCF-101/Tai Chi/three.avi")
    (root / "ucfTrainTestlist" / "trainlist01.txt").write_text("Tai Chi/one two.avi 12\nTai Chi/three.avi")
    assert [item.path for item in found(root)][:2] == ["UCF-101/Tai Chi/one two.avi", "UCF-101/Tai Chi/three.avi"]


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
    assert "group" not in record.meta


def test_stems_that_differ_after_a_dot_keep_apart(place: Callable[..., Path]) -> None:
    records = converted(place("A/v.a.avi", "A/v.b.avi", "A/v.avi", "A/v.0.avi"))
    names = [name for record in records for name in record.images()]
    assert len(set(names)) == len(names) == 4 * 8
    assert {"train/A/v.a.0.jpg", "train/A/v.b.0.jpg"} <= set(names)


def test_clips_that_differ_in_the_suffix_alone_share_a_picture_name_for_the_engine_to_see(
    place: Callable[..., Path],
) -> None:
    assert [item.pictures for item in found(place("A/v.avi", "A/v.mp4"))] == ["train/A/v", "train/A/v"]


@pytest.mark.parametrize("name", ["Café au lait", "走る", "two\nlines", "a, b", "C:D", "%41", "-rf", "emoji 🏃"])
def test_names_of_every_kind_convert(place: Callable[..., Path], name: str) -> None:
    (record,) = converted(place(f"{name}/{name}.avi"))
    assert record.meta["label"] == record.conversations[0].assistant == name
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


# Bad input


def test_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere").endswith("nowhere: no such folder")


@pytest.mark.parametrize("names", [[], ["readme.txt"], ["wrapper/readme.txt"], ["wrapper/inner/readme.txt"]])
def test_a_folder_without_classes_or_clips_is_refused_with_the_three_forms(
    place: Callable[..., Path], tmp_path: Path, names: list[str]
) -> None:
    (tmp_path / "raw").mkdir()
    place(*names)
    message = refusal(tmp_path / "raw")
    assert "/raw" in message
    assert any(part in message for part in ("an empty folder", "no folder inside", "a class folder without clips"))


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    message = refusal(tmp_path)
    assert "an empty folder; expected train|val|test/<Class>/<clip>, or UCF-101/<Class>/<clip> beside" in message
    assert "or <Class>/<clip>" in message


def test_clips_in_no_class_folder_are_refused(place: Callable[..., Path]) -> None:
    assert "loose.avi: a clip in no class folder" in refusal(place("A/a.avi", "loose.avi"))
    assert "loose.avi: a clip beside the splits" in refusal(place("train/A/a.avi", "loose.avi", at="splits"))


def test_a_class_folder_without_clips_is_refused_by_name(place: Callable[..., Path]) -> None:
    message = refusal(place("A/a.avi", "B/notes.txt"))
    assert "/B: a class folder without clips" in message
    assert ".avi" in message
    assert "train/B: a class folder without clips" in refusal(place("train/A/a.avi", "train/B/", at="splits"))


def test_a_clip_below_a_class_folder_is_not_lost_in_silence(place: Callable[..., Path]) -> None:
    assert "A/more/b.avi: a clip below the class folder A" in refusal(place("A/a.avi", "A/more/b.avi", "B/b.avi"))


def test_files_that_are_no_clips_and_hidden_ones_are_no_samples(place: Callable[..., Path]) -> None:
    root = place("A/a.avi", "A/notes.txt", "A/Thumbs.db", "A/._a.avi", "A/more/notes.txt", ".git/x.avi", "B/b.avi")
    assert [item.path for item in found(root)] == ["A/a.avi", "B/b.avi"]


def test_classes_that_some_file_system_takes_for_one_are_refused(place: Callable[..., Path]) -> None:
    assert "'Run' and 'run' differ only in case" in refusal(place("train/Run/a.avi", "val/run/b.avi"))


def test_classes_that_differ_in_unicode_form_alone_are_refused(place: Callable[..., Path]) -> None:
    assert r"'caf\xe9'" in refusal(place("train/caf\u00e9/a.avi", "val/cafe\u0301/b.avi"))


def test_a_class_that_is_not_named_in_utf8_is_refused(place: Callable[..., Path]) -> None:
    assert r"the class 'caf\udce9' is not named in UTF-8" in refusal(place("caf\udce9/a.avi"))


def test_a_folder_called_like_a_clip_fails_by_name(place: Callable[..., Path]) -> None:
    made = source(place("A/a.avi", "A/x.avi/frames.txt"))
    item = list(made.discover())[1]
    assert item.path == "A/x.avi"
    with pytest.raises(MediaError, match="a folder, not a clip"):
        made.convert(item, Shown())


@pytest.mark.parametrize("data", [b"", b"RIFF", b"no video at all" * 100])
def test_a_clip_that_is_none_fails_alone(place: Callable[..., Path], data: bytes) -> None:
    root = place("A/a.avi", "A/b.avi")
    (root / "A" / "b.avi").write_bytes(data)
    made = source(root)
    good, bad = made.discover()
    made.convert(good, Shown())
    with pytest.raises(MediaError):
        made.convert(bad, Shown())


# Elsewhere


def test_an_object_store_gives_the_same_records(place: Callable[..., Path]) -> None:
    root, store = place(*SUBSET), fsspec.filesystem("memory")
    store.put(str(root), "/ucf101-test", recursive=True)
    try:
        assert converted("memory://ucf101-test") == converted(root)
    finally:
        store.rm("/ucf101-test", recursive=True)


def test_a_missing_object_fails_by_name(place: Callable[..., Path]) -> None:
    root, store = full(place), fsspec.filesystem("memory")
    store.put(str(root), "/ucf101-full", recursive=True)
    try:
        made = source("memory://ucf101-full/UCF-101")
        items = list(made.discover())
        assert [item.split for item in items] == ["train", "train", "test", "test"]
        store.rm("/ucf101-full/UCF-101/Yoga/v_Yoga_g08_c01.avi")
        with pytest.raises(MediaError, match="no such clip"):
            made.convert(items[1], Shown())
    finally:
        store.rm("/ucf101-full", recursive=True)


@pytest.mark.real_data
def test_the_real_clips_convert(real_data: Path, tmp_path: Path) -> None:
    for name, label in [("v_SoccerJuggling_g23_c01.avi", "SoccerJuggling"), ("R6llTwEh07w.mp4", "kinetics")]:
        (tmp_path / label).mkdir()
        (tmp_path / label / name).symlink_to(real_data / "video" / name)
    soccer, kinetics = converted(tmp_path)
    assert soccer.meta["group"] == "g23"
    assert len(soccer.meta["frames"]) == len(kinetics.meta["frames"]) == 8
    assert "group" not in kinetics.meta
