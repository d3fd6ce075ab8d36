"""Validation of a dataset with one damaged file: the manifest, the records, a shard, a shard's index or an image."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.rules.registry import codes_for
from phi3v_data.schema.rules.settings import Settings
from phi3v_data.schema.rules.validate import Validation
from tests.fuzz.targets.datasets import SPLIT, sound


def corpus(folder: Path) -> None:
    for path in sound().rglob("*"):
        if path.is_file():
            # The name tells which file of the dataset is damaged.
            shutil.copyfile(path, folder / str(path.relative_to(sound())).replace("/", "@"))


def check(file: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        root = Path(work) / "data"
        shutil.copytree(sound(), root)
        shutil.copyfile(file, root / file.name.replace("@", "/"))
        settings = Settings("pixels", codes_for("pixels"), workers=1, keep_facts=False)
        for address in (str(root), f"{root}/fuzz_{SPLIT}.jsonl"):
            for finding in Validation([(address, open_dataset(address))], settings).findings():
                assert len(finding.message) < 1000, finding
