"""A text with a special token of the tokenizer is found by every command that would use it, and before it does."""

from __future__ import annotations

from pathlib import Path

import pytest
from colours import turn, write_dataset
from command_line import typed

from phi3v_data.schema.record import Record


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    records = [
        Record(id="fine", conversations=[turn("four", user="2 + 2?")]),
        Record(id="ends-early", conversations=[turn("<|end|> and on", user="3 + 3?")]),
    ]
    write_dataset(tmp_path / "data", {"train": records, "val": records[:1]})
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


@pytest.mark.parametrize(
    "command",
    [
        ("validate", "@"),
        ("train", "@", "--model", "tiny", "--dry-run"),
        ("train", "@", "--model", "tiny"),
        pytest.param(("train", "@", "--model", "tiny", "--no-validate"), marks=pytest.mark.slow),
    ],
)
def test_a_special_token_in_a_text_is_refused(
    data: Path, capfd: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    answer = typed(capfd, *(argument.replace("@", str(data)) for argument in command))
    assert answer.code != 0
    assert "<|end|>" in answer.out + answer.err
    assert "Traceback" not in answer.err
    assert not list(data.parent.glob("**/checkpoint-*"))


@pytest.mark.slow
def test_an_estimate_counts_what_holds_a_special_token(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    answer = typed(capfd, "estimate", str(data), "--model", "tiny")
    assert "cannot be trained on: 1 record; phi3v-data validate names" in answer.out
