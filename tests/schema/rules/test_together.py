"""What the rules find in several datasets, in the real data, and in the records of the recipe."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from validated import validated

from phi3v_data.schema.index import near_images
from phi3v_data.schema.rules.chi_square import chi_square
from phi3v_data.schema.rules.examples import Drawing, line


def write(folder: Path, name: str, *records: str, **images: Drawing) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(f"{each}\n" for each in records))
    for image, drawing in images.items():
        (folder / "images" / f"{image}.png").write_bytes(drawing.encode())
    return folder


def test_what_leaks_from_one_dataset_into_another_is_found(tmp_path: Path) -> None:
    one = write(tmp_path / "one", "x_train.jsonl", line("a", images=["a.png"]), a=Drawing("PNG"))
    other = write(tmp_path / "other", "x_test.jsonl", line("b", images=["b.png"]), b=Drawing("PNG"))
    found = validated(one, other, select=["S"])[0]
    assert [(each.rule, each.dataset, each.id) for each in found] == [("S604", str(other), "b")]
    assert f"in the split train, at {one}/x_train.jsonl:1" in found[0].message


def test_ids_may_repeat_between_datasets_but_not_within_one(tmp_path: Path) -> None:
    one, other = (write(tmp_path / name, "x_train.jsonl", line("a", user=name)) for name in ("one", "other"))
    assert validated(one, other, select=["R"])[0] == []


def test_where_too_many_images_are_alike_the_summary_says_that_not_all_were_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawings = {"a": Drawing("PNG", 192, 128), "x": Drawing("PNG", seed=1), "y": Drawing("PNG", seed=2)}
    write(tmp_path, "x_train.jsonl", *[line(each, images=[f"{each}.png"]) for each in drawings], **drawings)
    drawings = {"b": Drawing("PNG"), "c": Drawing("PNG", 300, 200)}
    write(tmp_path, "x_test.jsonl", *[line(each, images=[f"{each}.png"]) for each in drawings], **drawings)
    found, summary = validated(tmp_path, level="pixels", select=["S605"])
    assert ([each.id for each in found], summary.notes) == (["b", "c"], [])
    monkeypatch.setattr(near_images, "_MOST_CANDIDATES", 0)
    found, summary = validated(tmp_path, level="pixels", select=["S605"])
    assert len(found) == 1
    assert summary.notes == [
        "near-identical images: 3 pairs of like images were compared, and that was the limit; of the rest nothing is "
        "known (S605)"
    ]


def test_a_split_without_any_answer_is_one_to_predict(tmp_path: Path) -> None:
    write(tmp_path, "x_train.jsonl", line("a"), line("b", assistant=" "))
    write(tmp_path, "x_test.jsonl", line("c", assistant=""), line("d", assistant=""))
    assert [(each.rule, each.id) for each in validated(tmp_path)[0]] == [("R115", "b")]


def test_a_question_that_many_records_ask_is_a_template(tmp_path: Path) -> None:
    asked = [line(f"a{number}", user="Which?", assistant="Cat.", images=[f"a{number}.png"]) for number in range(17)]
    write(tmp_path, "x_train.jsonl", *asked)
    write(tmp_path, "x_test.jsonl", line("b", user="Which?", assistant="Cat.", images=["b.png"]))
    assert validated(tmp_path, level="records", select=["S603"])[0] == []
    assert len(validated(tmp_path, level="records", select=["S603"], template=20)[0]) == 1


def test_chi_square_and_its_p_value_are_those_of_the_books() -> None:
    # Agresti, An Introduction to Categorical Data Analysis, table 2.5: party by gender.
    test = chi_square([[762, 327, 468], [484, 239, 477]])
    assert test is not None
    assert (round(test.statistic, 1), test.freedom) == (30.1, 2)
    assert test.p == pytest.approx(2.95e-7, rel=0.01)
    assert chi_square([[5], [3]]) is None
    assert chi_square([[10, 10], [20, 20]]) == (0.0, 1, 1.0)


RECIPE = """\
{"id": "val-0000000300", "source": "ucf101", "conversations": [{"images": ["val/v_BabyCrawling_g21_c04.0.jpg"], \
"user": "Classify the video into one of the following classes: ApplyEyeMakeup, BabyCrawling.", \
"assistant": "BabyCrawling"}]}
{"id": "val-0000000301", "source": "ucf101", "conversations": [{"images": ["val/v_BabyCrawling_g21_c05.0.jpg"], \
"user": "Classify the video into one of the following classes: ApplyEyeMakeup, BabyCrawling.", \
"assistant": "BabyCrawling"}]}
"""


def test_the_recipes_own_records_are_clean(tmp_path: Path) -> None:
    (tmp_path / "ucf101_val.jsonl").write_text(RECIPE)
    (tmp_path / "images" / "val").mkdir(parents=True)
    for number in (4, 5):
        (tmp_path / "images" / "val" / f"v_BabyCrawling_g21_c0{number}.0.jpg").write_bytes(
            Drawing(seed=number).encode()
        )
    assert validated(tmp_path, level="pixels")[0] == []


@pytest.mark.real_data
def test_nlvr2_split_at_random_is_reported_as_leaking(real_data: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [json.loads(each) for each in (real_data / "nlvr2" / "dev.json").open()]
    random.Random(0).shuffle(rows)
    for split, part in (("train", rows[:320]), ("val", rows[320:])):
        records = [
            line(
                row["identifier"],
                user=row["sentence"],
                assistant=row["label"],
                meta={"group": row["identifier"].split("-")[1]},
            )
            for row in part
        ]
        write(tmp_path, f"nlvr2_{split}.jsonl", *records)
    codes = {each.rule for each in validated(tmp_path, level="records")[0]}
    assert "S601" in codes


@pytest.mark.real_data
def test_real_files_are_named_rightly(real_data: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    files = [*(real_data / "corrupt").glob("*.jpg"), *(real_data / "images").iterdir()]
    for file in files:
        shutil.copy(file, tmp_path / "images")
    records = [line(file.name, images=[file.name]) for file in sorted(files)]
    (tmp_path / "x_train.jsonl").write_text("\n".join(records))
    found = validated(tmp_path, level="pixels")[0]
    assert {(each.id, each.rule) for each in found} == {
        ("bad_huffman.jpg", "P302"),
        ("corrupt.jpg", "P302"),
        ("corrupt34_2.jpg", "P301"),
        ("baiona_alpha.png", "P303"),
        ("baiona_cmyk.jpg", "P303"),
        ("wizard_low-interlaced.png", "P303"),  # RGBA
    }


def test_every_image_of_a_shared_file_name_is_looked_at_once_and_blamed_on_its_first_record(tmp_path: Path) -> None:
    write(tmp_path, "x_train.jsonl", line("a", images=["a.jpg"]), line("b", images=["a.jpg"]))
    Image.new("CMYK", (384, 256)).save(tmp_path / "images" / "a.jpg")
    assert [(each.rule, each.id) for each in validated(tmp_path, select=["P303"])[0]] == [("P303", "a")]
