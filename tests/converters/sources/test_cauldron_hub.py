"""The public copies of docvqa, hateful_memes and nlvr2, from a hub on loopback, against `datasets` itself."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from raw_questions import image, text

CONFIGS = {"docvqa": ("DocVQA", 1), "hateful_memes": ("Hateful Memes", 1), "nlvr2": ("NLVR2", 2)}
ROWS, FILES = 5, 2

# Convert what the hub has, then say what `datasets` finds there.
CLIENT = """
import json, sys
from datasets import load_dataset
from phi3v_data.cli.main import main
sources = sys.argv[1:]
for source in sources:
    sys.argv = ["phi3v-data", "convert", "--source", source, "--workers", "1"]
    try:
        main()
    except SystemExit as exit:
        assert not exit.code, exit
found = {
    source: [
        {
            "turns": [[turn["user"], turn["assistant"]] for turn in row["texts"]],
            "images": [list(shown.convert("RGB").getpixel((0, 0))) for shown in row["images"]],
        }
        for row in load_dataset("HuggingFaceM4/the_cauldron", source, split="train")
    ]
    for source in sources
}
print("found", json.dumps(found))
"""


def parquet(source: str, file: int) -> bytes:
    """A file as `datasets` writes it."""
    from datasets import Dataset, Features, Image, Value

    words = {name: Value("string") for name in ("user", "assistant", "source")}
    name, images = CONFIGS[source]
    rows: list[dict[str, Any]] = [
        {
            "images": [{"bytes": image(10 * file + row + side), "path": None} for side in range(images)],
            "texts": [
                text(f"{source} {file} {row} {turn}?", "Yes." if row % 2 else "No.", name)
                for turn in range(1 if source == "hateful_memes" else 1 + row % 3)
            ],
        }
        for row in range(ROWS)
    ]
    buffer = io.BytesIO()
    Dataset.from_list(rows, features=Features({"images": [Image()], "texts": [words]})).to_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.slow
def test_the_public_copies_convert_to_what_datasets_finds_in_them(hub: HubServer, tmp_path: Path) -> None:
    header = "---\nconfigs:\n"
    for source in CONFIGS:
        header += f"- config_name: {source}\n  data_files:\n  - split: train\n    path: {source}/train-*\n"
        for file in range(FILES):
            name = f"{source}/train-{file:05d}-of-{FILES:05d}-6b0d.parquet"
            hub.add("datasets/HuggingFaceM4/the_cauldron", name, parquet(source, file))
    hub.add("datasets/HuggingFaceM4/the_cauldron", "README.md", f"{header}---\n".encode(), is_lfs=False)
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, *CONFIGS],
        env=hub.environment(tmp_path / "cache"),
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.rpartition("found ")[2])
    for source in CONFIGS:
        lines = (tmp_path / "data" / source / f"{source}_train.jsonl").read_text().splitlines()
        turns = [record["conversations"][0] for record in map(json.loads, lines)]
        expected = [turn for row in found[source] for turn in row["turns"]]
        assert len(found[source]) == ROWS * FILES
        assert [[turn["user"], turn["assistant"]] for turn in turns] == expected
        assert all(len(turn["images"]) == CONFIGS[source][1] for turn in turns)
        stored = tmp_path / "data" / source / "images" / "train"
        assert len(list(stored.iterdir())) == sum(len(row["images"]) for row in found[source])
        for number, row in enumerate(found[source]):
            for side, colour in enumerate(row["images"]):
                assert (stored / f"{number:010d}.{side}.png").read_bytes() == image(colour[0])
