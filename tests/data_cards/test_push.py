"""Uploads to a hub on loopback: what goes up, and what is said before it is public."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_uploads import Uploads, serve_uploads
from small_dataset import record, write_dataset, write_image

from phi3v_data.data_cards.push import plan_upload
from phi3v_data.schema.errors import InputError, UsageError


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    with serve_uploads() as started:
        yield started


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = write_dataset(tmp_path / "d", {"train": [record("a", ["a.jpg"], "Which?", "one")]})
    write_image(folder / "images/a.jpg", 1)
    (folder / ".index").mkdir()
    (folder / ".index/train.arrow").write_bytes(b"x")
    return folder


def push(uploads: Uploads, *arguments: str, token: str = "hf_x", answer: str = "") -> subprocess.CompletedProcess[str]:
    ours = {"HF_ENDPOINT": uploads.endpoint, "HF_HUB_OFFLINE": "0", "HF_TOKEN": token, "NO_PROXY": "127.0.0.1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    command = [sys.executable, "-m", "phi3v_data.cli", "push", *arguments]
    environment = {**kept, **ours, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return subprocess.run(command, env=environment, input=answer, capture_output=True, text=True, check=False)


def test_a_dataset_goes_up_privately_with_a_card_and_without_hidden_files(uploads: Uploads, dataset: Path) -> None:
    done = push(uploads, str(dataset), "me/shapes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["private"] is True
    assert uploads.private == {"me/shapes": True}
    names = {"README.md", "dataset.json", "image-folder_train.jsonl", "images/a.jpg", "quarantine.jsonl"}
    assert uploads.files["me/shapes"].keys() == names
    assert 'load_dataset("me/shapes")' in uploads.files["me/shapes"]["README.md"].decode()
    assert uploads.cards[0].startswith("---\ntask_categories:") or "task_categories" in uploads.cards[0]
    assert "public" not in done.stderr


def test_nothing_becomes_public_unless_somebody_says_yes(uploads: Uploads, dataset: Path) -> None:
    refused = push(uploads, str(dataset), "me/shapes", "--public", answer="n\n")
    assert refused.returncode == 130
    assert "all of this goes to a new public repository: everybody can see and copy it" in refused.stderr
    assert "images among them: 1" in refused.stdout
    assert uploads.private == {}
    uploads.private["me/there"] = False
    there = push(uploads, str(dataset), "me/there", answer="n\n")
    assert there.returncode == 130
    assert "goes to me/there, which is public" in there.stderr
    assert uploads.files == {}
    assert push(uploads, str(dataset), "me/shapes", "--public", "--yes").returncode == 0
    assert uploads.private["me/shapes"] is False


def test_a_hub_that_refuses_is_one_line(uploads: Uploads, dataset: Path) -> None:
    uploads.refusal = 403
    done = push(uploads, str(dataset), "me/shapes")
    assert done.returncode == 2
    assert "me/shapes: the hub answered 403" in done.stderr
    assert "hf auth login" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_pushed_is_a_dataset_a_model_or_a_runs_model(tmp_path: Path, dataset: Path) -> None:
    assert plan_upload(str(dataset), "me/shapes").kind == "dataset"
    (tmp_path / "run/model").mkdir(parents=True)
    (tmp_path / "run/run.json").write_text("{}")
    (tmp_path / "run/model/config.json").write_text("{}")
    upload = plan_upload(str(tmp_path / "run"), "me/model")
    assert (upload.kind, upload.files) == ("model", ["config.json"])
    with pytest.raises(InputError, match="expected a dataset folder"):
        plan_upload(str(tmp_path), "me/model")
    with pytest.raises(UsageError, match="expected OWNER/NAME"):
        plan_upload(str(dataset), "shapes")
    with pytest.raises(UsageError, match="local folder"):
        plan_upload("s3://bucket/d", "me/shapes")


def test_a_runs_model_goes_up_with_the_card_that_train_wrote(uploads: Uploads, givens: Path) -> None:
    done = push(uploads, str(givens / "runs"), "me/animals")
    assert done.returncode == 0, done.stderr
    assert uploads.private == {"me/animals": True}
    sent = uploads.files["me/animals"]
    model = givens / "runs/model"
    assert sent == {
        path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()
    }
    assert "library_name: peft" in sent["README.md"].decode()
