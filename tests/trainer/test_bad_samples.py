"""Images that vanish, and machines that fail, in the middle of a run."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from colours import colour_records, write_dataset
from tiny_runs import history, tiny_config, traced

from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.errors import RunError
from phi3v_data.storage import LocalFolder
from phi3v_data.trainer.data.bad_samples import BadSample, BadSamples
from phi3v_data.trainer.data.plan import Plan, Stream
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.train import RunResult, train

pytestmark = pytest.mark.slow  # together; each takes a second

RECORDS = 8
SETTINGS = {"evaluation.enabled": False, "batch_size": 2, "epochs": 1, "data.trace": True, "save_every": 1}
PLAN = Plan([Stream(RECORDS)], 2, seed=0)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return write_dataset(tmp_path / "data", {"train": colour_records("train", RECORDS)})


def image(data: Dataset, number: int) -> Path:
    (name,) = colour_records("train", RECORDS)[number].images()
    return Path(data.folder.address) / "images" / name


def run_with(
    data: Dataset, out: Path, logged: list[str], after_first_step: Callable[[], object], **more: object
) -> RunResult:
    """Train; once the first step is done, something happens to the data."""

    def log(line: str) -> None:
        logged.append(line)
        if line.startswith("step 1/"):
            after_first_step()

    return train(tiny_config({**SETTINGS, **more}), [Source(data)], out, log)


def shown_at(step: int) -> list[int]:
    return [sample.record for sample in PLAN.step(step)]


@pytest.mark.parametrize("damage", ["vanished", "broken"])
def test_a_bad_sample_is_replaced_by_nothing_counted_and_named(data: Dataset, tmp_path: Path, damage: str) -> None:
    lost, kept = shown_at(2)
    path = image(data, lost)
    logged: list[str] = []
    happen = path.unlink if damage == "vanished" else lambda: path.write_bytes(path.read_bytes()[:60])
    result = run_with(data, tmp_path / "run", logged, happen)
    assert result.bad_samples == 1
    assert traced(tmp_path / "run")[2] == [f"train-{kept}"]
    (row,) = map(json.loads, (tmp_path / "run" / "bad_samples.jsonl").read_text().splitlines())
    assert (row["step"], row["place"], row["id"]) == (2, 0, f"train-{lost}")
    assert path.name in row["reason"]
    assert sum(f"step 3: sample train-{lost} cannot be read and is left out" in line for line in logged) == 1
    state = json.loads((tmp_path / "run" / "checkpoint-3" / "data_state.json").read_text())
    assert state["bad_samples"] == {"count": 1, "in_a_row": 0, "last": [f"train-{lost}"]}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["result"]["bad_samples"] == 1


def test_a_step_without_a_sample_left_has_a_loss_of_nothing(data: Dataset, tmp_path: Path) -> None:
    def happen() -> None:
        for number in shown_at(2):
            image(data, number).unlink()

    result = run_with(data, tmp_path / "run", [], happen)
    assert result.bad_samples == 2
    assert result.losses[2] == 0.0
    assert 0.0 < result.losses[3] < 100.0


def test_too_many_in_a_row_end_the_run_and_it_goes_on_when_they_are_back(data: Dataset, tmp_path: Path) -> None:
    images = Path(data.folder.address) / "images"
    limit = {"data.bad_samples_in_a_row": 3}
    wanted = rf"3 samples in a row could not be read, the last of them train-{shown_at(2)[0]} .*is the data still there"
    with pytest.raises(RunError, match=wanted):
        run_with(data, tmp_path / "run", [], lambda: images.rename(images.with_name("away")), **limit)
    images.with_name("away").rename(images)
    result = run_with(data, tmp_path / "run", [], lambda: None, **limit)
    # The one step that was trained on nothing was saved with its checkpoint, and is not gone through again.
    assert result.bad_samples == 2
    assert [row["step"] for row in history(tmp_path / "run")] == [1, 2, 3, 4]


class Failing(LocalFolder):
    """A disk that fails at an image once it is told to."""

    error: OSError | None = None

    def open(self, name: str) -> IO[bytes]:
        if self.error is not None and name.startswith("images/"):
            raise self.error
        return super().open(name)


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (errno.EIO, "the disk reports an input/output error"),
        (errno.EMFILE, "too many files are open"),
        (errno.ENOMEM, "out of memory"),
    ],
)
def test_what_no_sample_can_be_blamed_for_is_fatal_at_once(
    data: Dataset, tmp_path: Path, code: int, wanted: str
) -> None:
    folder = Failing(data.folder.address)
    failing = dataclasses.replace(data, folder=folder)

    def happen() -> None:
        folder.error = OSError(code, os.strerror(code))

    with pytest.raises(RunError, match=f"{wanted} .*fix it and rerun"):
        run_with(failing, tmp_path / "run", [], happen)
    assert not (tmp_path / "run" / "bad_samples.jsonl").exists()


def test_workers_say_what_they_could_not_read(data: Dataset, tmp_path: Path) -> None:
    # Workers read ahead, so the image is gone before they begin: in a run that goes on.
    lost = shown_at(3)[0]
    with pytest.raises(RunError, match="stop"):
        run_with(data, tmp_path / "run", [], _stop)
    image(data, lost).unlink()
    # What was measured before is gone, too, so it is known from the start; a run that goes on is not stopped by it.
    shutil.rmtree(Path(data.folder.address) / ".index")
    logged: list[str] = []
    result = run_with(data, tmp_path / "run", logged, lambda: None, **{"data.workers": 2})
    assert result.bad_samples == 1
    assert any(f"records that cannot be read: 1 (train-{lost})" in line and "bad sample" in line for line in logged)
    assert any(f"step 4: sample train-{lost} cannot be read" in line for line in logged)


def _stop() -> None:
    raise RunError("stop")


def test_in_a_row_means_in_the_order_of_the_plan_over_steps_and_ranks() -> None:
    def bad(*places: int) -> list[BadSample]:
        return [BadSample(place, f"r-{place}", "gone") for place in places]

    counted = BadSamples()
    counted.add(4, bad(3, 1), limit=3)
    counted.add(4, bad(0), limit=3)
    assert (counted.count, counted.in_a_row) == (3, 0)
    counted.add(4, bad(2, 3), limit=3)
    with pytest.raises(RunError, match="3 samples in a row"):
        counted.add(4, bad(0), limit=3)


def test_only_the_last_few_are_named() -> None:
    counted = BadSamples()
    for step in range(9):
        counted.add(2, [BadSample(1, f"{step}" * 500, "gone")], limit=2)
    assert counted.count == 9
    assert [name[:1] for name in counted.last] == ["5", "6", "7", "8"]
    assert max(map(len, counted.last)) == 80
