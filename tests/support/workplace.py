"""What the commands of README and docs take as given: raw data, datasets and a run, all small, all real."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from raw_questions import as_document
from small_dataset import record, write_dataset, write_image

from phi3v_data.cli.main import run_command
from phi3v_data.converters.video.synthesis import write_clip
from phi3v_data.schema.record import Record

# What a tiny model is trained with in seconds, on any machine.
_TRAIN = (
    "--recipe docvqa-lora --model tiny --precision fp32 --epochs 1 --batch-size 3 --accumulate 1 --num-crops 4 "
    "--set evaluation.max_new_tokens=4"
)


@pytest.fixture(scope="session")
def givens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything, made once; a page gets copies of what it names, see `provide`."""
    root = tmp_path_factory.mktemp("givens")
    _videos(root)
    for number in range(30):  # enough for each split
        write_image(root / f"photos/{('cat', 'dog')[number % 2]}/{number}.png", 200 + number, (96, 72))
    write_image(root / "page.png", 20, (96, 128))
    write_image(root / "frame.jpg", 21, (96, 72))
    _questions(root)
    for place, name in enumerate(("data", "old", "new")):
        _dataset(root / name, 100 * place)
    run = root / "runs"
    assert run_command(["train", str(root / "data"), "--out", str(run), *_TRAIN.split()]) == 0
    shutil.copyfile(run / "eval_after.json", run / "eval_val.json")
    return root


def provide(words: Sequence[str], givens: Path, here: Path) -> None:
    """Copy what a command names, and no earlier command has made, to where it is named.

    Args:
        words: of the command; what follows `--out` is made by it.
        givens: the fixture's folder.
        here: where the command is run.
    """
    if words[0] == "validate" and not (here / "data").exists():
        words = [*words, "data/docvqa"]  # without DATA, it is what is under data/
    if words[0] == "recipes":
        words = [*words, "runs/docvqa-lora"]
    if "questions.csv" in words:
        words = [*words, "a.png"]  # its rows name it
    for before, word in zip(("", *words), words, strict=False):
        found = re.fullmatch(r"((?:data|runs)/[\w-]+|[\w.-]+/?)(?:/.*|:\d+)?", word)
        if before == "--out" or found is None:
            continue
        name = Path(found[1])
        source = givens / name.parts[0]
        target = here / name
        if target.exists() or not source.exists() or name in (Path("data"), Path("runs")):
            continue
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)


def _videos(root: Path) -> None:
    clips = root / "clips.tar.gz"
    with tarfile.open(clips, "w:gz") as archive:
        for split, group in (("train", 1), ("val", 2), ("test", 3)):
            for label in ("Crawling", "Juggling"):
                name = f"v_{label}_g{group:02d}_c01.avi"
                clip = _clip(root / "my_videos" / label / name, seed=len(label) + group)
                archive.add(clip, f"{split}/{label}/{name}")


def _clip(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.random.default_rng(seed).integers(0, 256, (8, 32, 48, 3), dtype=np.uint8)
    return write_clip(path, iter(frames))


def _questions(root: Path) -> None:
    for name in ("scans/a.png", "llava/a.png", "a.png"):
        write_image(root / name, 1, (96, 72))
    for number, split in enumerate(("train", "val")):
        write_image(root / f"DocVQA/documents/{split}.png", number, (96, 72))
        page = {"image": f"documents/{split}.png", "docId": number}
        asked = {"questionId": number, "question": f"What does page {number} show?", "answers": ["noise"]}
        (root / f"DocVQA/{split}_v1.0_withQT.json").write_bytes(as_document({**asked, **page}))
    for name in ("questions.csv", "scans/questions.csv"):
        (root / name).write_text("file,question,answers,page\na.png,What is shown?,noise,1\n")
    said = [{"from": "human", "value": "<image>\nWhat is shown?"}, {"from": "gpt", "value": "noise"}]
    (root / "llava/mix665k.json").write_text(json.dumps([{"id": "1", "image": "a.png", "conversations": said}]))


def _dataset(root: Path, seed: int) -> None:
    splits = {"train": range(6), "val": range(6, 9), "test": range(9, 12)}
    write_dataset(root, {split: [_record(split, seed + number) for number in of] for split, of in splits.items()})
    for split, of in splits.items():
        for number in of:
            write_image(root / f"images/{split}/{seed + number}.jpg", 30 + seed + number, (96, 72))


def _record(split: str, number: int) -> Record:
    label = ("cat", "dog", "bird")[number % 3]
    name = f"{split}/{number}.jpg"
    return record(f"{split}-{number}", [name], f"Which animal is {number}?", label, label=label, group=str(number))
