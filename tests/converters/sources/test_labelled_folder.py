"""Files in folders by class: video-folder and image-folder, and what decides the split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import Converted, convert_here
from PIL import Image
from record_meta import meta_of

from phi3v_data.converters.base import Item
from phi3v_data.converters.sample import Sample
from phi3v_data.converters.sources.image_folder import ImageFolder
from phi3v_data.converters.splits import parse_ratios
from phi3v_data.schema.errors import InputError, UsageError
from phi3v_data.storage import open_folder


def lay_out(root: Path, *names: str) -> Path:
    """Write images, a colour each, other files, and folders (with a slash at the end)."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        elif path.suffix.lower() in {".png", ".jpg", ".webp"}:
            Image.new("RGB", (8, 6), (number, 40, 90)).save(path)
        else:
            path.write_text("not an image")
    return root


def found(root: Path, **options: object) -> list[Item]:
    return list(ImageFolder(input=open_folder(root), **options).discover())  # type: ignore[arg-type]  # of any type


def refusal(root: Path, **options: object) -> str:
    with pytest.raises((InputError, UsageError)) as caught:
        found(root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def convert_images(root: Path, **options: object) -> Converted:
    return convert_here("image-folder", root, root.parent / "out", **options)


# Records


def test_a_image_becomes_the_question_which_class_it_is_of(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "raw", "cat/a_7_b.png", "dog/a_7_c.jpg", "dog/notes.txt")
    converted = convert_images(root, group="_([0-9])_", split_ratio="all=1")
    assert not converted.refused
    first, second = converted.records["all"]
    assert first.id == "all-0000000000"
    assert first.source == "image-folder"
    assert first.conversations[0].user == "Classify the image into one of the following classes: cat, dog."
    assert (first.conversations[0].assistant, second.conversations[0].assistant) == ("cat", "dog")
    assert list(second.images()) == ["all/dog/a_7_c.0.jpg"]
    assert second.meta == {"group": "7", "label": "dog", "image": "dog/a_7_c.jpg", "sha256": meta_of(second)["sha256"]}
    # A plain image keeps its bytes.
    assert (converted.images / "all/dog/a_7_c.0.jpg").read_bytes() == (root / "dog/a_7_c.jpg").read_bytes()


def test_a_clip_becomes_the_question_which_class_it_is_of(place: Callable[..., Path], tmp_path: Path) -> None:
    root = place("Run/v_Run_g01_c01.avi", "Walk/v_Walk_g01_c01.avi")
    options = {"sampling": {"frames": 2}, "split_ratio": "train=1"}
    mine = convert_here("video-folder", root, tmp_path / "mine", group="_(g[0-9]+)_", **options)
    ucf101 = convert_here("ucf101", root, tmp_path / "ucf101", sampling={"frames": 2})
    assert not mine.refused
    # A plain folder of classes is read the same way by both.
    for ours, theirs in zip(mine.all(), ucf101.all(), strict=True):
        assert (ours.source, theirs.source) == ("video-folder", "ucf101")
        assert (ours.id, ours.conversations, ours.meta) == (theirs.id, theirs.conversations, theirs.meta)


def test_the_prompt_is_a_template_and_one_of_several_is_drawn(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "raw", *(f"{label}/{number}.png" for label in "ab" for number in range(20)))
    prompts = ["Which of {{ labels | join(' or ') }}?", "{{ labels | length }} classes: which?"]
    asked = {record.conversations[0].user for record in convert_images(root, prompt=prompts).all()}
    assert asked == {"Which of a or b?", "2 classes: which?"}
    assert "names 'label'; this source has: labels" in refusal(root, prompt=("{{ label }}",))


def test_two_files_that_differ_in_suffix_alone_are_two_samples(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "raw", "cat/a.jpg", "cat/a.png", "cat/b.jpg")
    converted = convert_images(root, split_ratio="train=1")
    assert not converted.refused
    assert [next(record.images()) for record in converted.all()] == [
        "train/cat/a.jpg.0.jpg",
        "train/cat/a.png.0.png",
        "train/cat/b.0.jpg",
    ]


# By ratio

NAMES = st.sets(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 99)), min_size=1, max_size=12)


@settings(max_examples=30, deadline=None)
@given(before=NAMES, added=NAMES, grouped=st.booleans())
def test_adding_files_moves_none_to_another_split_and_parts_no_group(
    before: set[tuple[str, int, int]],
    added: set[tuple[str, int, int]],
    grouped: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("growing")
    options = {"group": "^(g[0-9])_" if grouped else "", "split_ratio": "train=0.5,val=0.25,test=0.25"}

    def splits(files: set[tuple[str, int, int]]) -> dict[str, tuple[str, str | None]]:
        for label, group, number in files:
            (root / label).mkdir(exist_ok=True)
            (root / label / f"g{group}_{number}.png").touch()
        return {item.path: (item.split, (Sample.of(item).meta or {}).get("group")) for item in found(root, **options)}

    earlier, later = splits(before), splits(added)
    assert earlier.items() <= later.items()
    if grouped:
        assert len({group for _, group in later.values()}) == len(set(later.values()))


def test_without_a_group_every_file_is_its_own(tmp_path: Path) -> None:
    root = lay_out(tmp_path, *(f"cat/{number}.png" for number in range(40)))
    ratios = parse_ratios("train=0.5,val=0.5")
    split_of = {item.path: item.split for item in found(root, split_ratio="train=0.5,val=0.5")}
    assert split_of == {path: ratios.split_of(path) for path in split_of}
    assert set(split_of.values()) == {"train", "val"}


def test_a_name_without_a_group_is_refused_by_name_and_the_rest_converts(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "raw", "cat/g1_a.png", "cat/nothing.png")
    converted = convert_images(root, group="^(g[0-9])_")
    assert converted.reasons() == {"cat/nothing.png": "its name has no group that '^(g[0-9])_' finds"}
    assert [meta_of(record)["group"] for record in converted.all()] == ["g1"]


def test_the_whole_match_is_the_group_where_the_expression_marks_none(tmp_path: Path) -> None:
    (item,) = found(lay_out(tmp_path, "cat/x_g12_y.png"), group="g[0-9]+")
    assert (Sample.of(item).meta or {})["group"] == "g12"


# By folder


def test_folders_above_the_classes_are_the_splits(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "test1/cat/a.png", "train/cat/a.png", "train/dog/b.png")
    items = found(root, split_by="folder")
    assert [(item.split, (Sample.of(item).meta or {})["label"], item.path) for item in items] == [
        ("test1", "cat", "test1/cat/a.png"),
        ("train", "cat", "train/cat/a.png"),
        ("train", "dog", "train/dog/b.png"),
    ]
    assert len({item.images for item in items}) == 3


# By lists


def test_lists_beside_the_classes_name_the_files_of_each_split(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "cat/a.png", "cat/b c.png", "dog/d.png")
    (root / "train.txt").write_text("\ufeffdog/d.png 2\r\ncat/a.png 1\r\n", encoding="utf-8")
    (root / "val.txt").write_text("cat/b c.png\n")
    items = found(root, split_by="file")
    assert [(item.split, item.path, item.failure) for item in items] == [
        ("train", "cat/a.png", ""),
        ("train", "dog/d.png", ""),
        ("val", "cat/b c.png", ""),
    ]


def test_lists_may_lie_elsewhere_and_several_may_be_of_one_split(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "cat/a.png", "cat/b.png", "dog/c.png", "readme.txt")
    (root / "lists").mkdir()
    (root / "lists/one.txt").write_text("cat/a.png\n")
    (root / "lists/two.txt").write_text("cat/b.png\n")
    (root / "lists/test.txt").write_text("dog/c.png\n")
    lists = ("train=lists/one.txt", "train=lists/two.txt", "lists/test.txt")
    made = ImageFolder(input=open_folder(root), split_by="file", split_files=lists)
    assert [(item.split, item.path) for item in made.discover()] == [
        ("train", "cat/a.png"),
        ("train", "cat/b.png"),
        ("test", "dog/c.png"),
    ]


def test_what_is_listed_and_missing_or_there_and_not_listed_is_refused_by_name(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "raw", "cat/a.jpg", "cat/b.png")
    (root / "train.txt").write_text("cat/a.jpg\ncat/a.png\nowl/a.png\n")
    converted = convert_images(root, split_by="file")
    assert converted.reasons() == {
        "cat/a.png": "no such image, though it is listed",
        "owl/a.png": "no such image, though it is listed",
        "cat/b.png": "in no list; list it, or leave it out: --splits train",
    }
    assert {failure.stage for failure in converted.refused.values()} == {"discover"}
    assert [meta_of(record)["image"] for record in converted.all()] == ["cat/a.jpg"]


# Bad input


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "an empty folder; expected <Class>/<file>, with images ending in .bmp"),
        (["readme.txt"], {}, "no folder inside; expected <Class>/<file>"),
        (["cat/"], {}, "/cat: a class folder without images"),
        (["cat/a.png", "loose.png"], {}, "loose.png: an image in no class folder"),
        (["cat/a.png", "cat/more/b.png"], {}, "cat/more/b.png: an image below the class folder cat"),
        (["cat/a.png", "CAT/b.png"], {}, "'CAT' and 'cat' differ only in case"),
        (["train/cat/a.png", "val/cat/a.png"], {}, "give --split-by folder"),
        (["cat/a.png", "dog/a.png"], {"split_by": "folder"}, "give --split-by ratio"),
        (
            ["cat/a.png"],
            {"split_by": "file"},
            "no list beside the classes; expected one for each split, such as train.txt",
        ),
        (["cat/a.png"], {"split_by": "file", "split_files": ("no.txt",)}, "no.txt: no such list"),
        (["cat/a.png", "notes.txt"], {"split_by": "file"}, "notes.txt, line 1: 'not an image' is not an image"),
        (["cat/a.png"], {"split_files": ("train.txt",)}, "--split-files means nothing with --split-by ratio"),
        (["cat/a.png"], {"split_ratio": "train=0.5"}, "sum to 0.5"),
        (["cat/a.png"], {"group": "(g"}, "group '(g' is not a regular expression"),
        (["cat/a.png"], {"prompt": ()}, "no prompt"),
        (["cat/a.png"], {"prompt": ("{{ labels",)}, "is not a Jinja template"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, names: list[str], options: dict[str, object], message: str
) -> None:
    assert message in refusal(lay_out(tmp_path, *names), **options)


def test_a_file_in_two_lists_is_refused(tmp_path: Path) -> None:
    root = lay_out(tmp_path, "cat/a.png")
    for name in ("train", "val"):
        (root / f"{name}.txt").write_text("cat/a.png\n")
    assert "val.txt, line 1: cat/a.png is already in train.txt; an image belongs" in refusal(root, split_by="file")


def test_one_more_folder_around_everything_makes_no_difference(tmp_path: Path) -> None:
    for split_by, names in (("ratio", ("cat/a.png", "dog/a.png")), ("folder", ("train/cat/a.png", "val/dog/a.png"))):
        plain = lay_out(tmp_path / split_by / "plain", *names)
        wrapped = lay_out(tmp_path / split_by / "wrapped" / "archive", *names).parent
        without, within = found(plain, split_by=split_by), found(wrapped, split_by=split_by)
        assert [(item.id, item.images) for item in within] == [(item.id, item.images) for item in without]
        assert [item.path for item in within] == [f"archive/{item.path}" for item in without]
    assert meta_of(convert_here("image-folder", wrapped, tmp_path / "out", split_by="folder").all()[0])["image"] == (
        "train/cat/a.png"
    )


def test_a_damaged_image_and_a_folder_named_like_one_fail_alone(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "raw", "cat/a.png", "cat/b.png/", "cat/c.png")
    (root / "cat/c.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    converted = convert_images(root)
    assert len(converted.all()) == 1
    assert converted.reasons()["cat/b.png"] == "cat/b.png: a folder, not an image"
    assert converted.refused["cat/c.png"].exception == "MediaError"


# Elsewhere


def test_an_object_store_gives_the_same_records(tmp_path: Path) -> None:
    root, store = (
        lay_out(tmp_path / "raw", "x/cat/g1_a.png", "x/dog/g2_b.jpg", "x/dog/g1_c.webp"),
        fsspec.filesystem("memory"),
    )
    store.put(str(root), "/labelled-test", recursive=True)
    try:
        there = convert_here("image-folder", "memory://labelled-test", tmp_path / "there", group="^(g[0-9])")
    finally:
        store.rm("/labelled-test", recursive=True)
    here = convert_images(root, group="^(g[0-9])")
    assert not here.reasons()
    assert len(here.all()) == 3
    assert there.records == here.records


def test_small_sets_may_be_stratified_and_another_seed_gives_other_splits(tmp_path: Path) -> None:
    root = lay_out(tmp_path, *(f"{label}/g{number // 2}_{number}.png" for label in "ab" for number in range(4)))
    by_hash = [item.path for item in found(root, split_ratio="train=0.9,val=0.1") if item.split == "val"]
    assert sorted(path[0] for path in by_hash) != ["a", "b"]
    stratified = found(root, split_ratio="train=0.9,val=0.1", stratify=True)
    assert sorted(item.path[0] for item in stratified if item.split == "val") == ["a", "b"]
    grouped = found(root, split_ratio="train=1/2,val=1/2", stratify=True, group=r"^(g\d)_")
    # A group in two classes counts in its first, and stays whole.
    assert {(item.path.split("/")[1][:2], item.split) for item in grouped} in (
        {("g0", "train"), ("g1", "val")},
        {("g0", "val"), ("g1", "train")},
    )
    seeds = {tuple(item.split for item in found(root, split_ratio="train=1/2,val=1/2", seed=seed)) for seed in range(4)}
    assert len(seeds) > 1
    assert "--stratify means nothing with --split-by folder" in refusal(root, stratify=True, split_by="folder")
