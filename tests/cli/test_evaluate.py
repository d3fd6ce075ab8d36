"""`phi3v-data evaluate`: what it prints, what it refuses, and where it continues."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from colours import colour_records, write_dataset
from command_line import typed

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.trainer.config import make_config
from phi3v_data.trainer.evaluation.journal import AnswerJournal, evaluation_identity
from phi3v_data.trainer.evaluation.result import Answer, read_evaluation

TINY = ("--checkpoint", "tiny", "--precision", "fp32", "--max-new-tokens", "1", "--quiet")


OF_ANOTHER = {
    "evaluate": ("evaluate", "@data", "--checkpoint", "@model", "--out", "@out"),
    "predict": ("predict", "--checkpoint", "@model", "--prompt", "What?"),
    "export": ("export", "@model", "--out", "@out"),
    "train": ("train", "@data", "--train-split", "val", "--model", "@model", "--out", "@out"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_dataset(tmp_path_factory.mktemp("data"), {"val": colour_records("val", 3)}).folder.address


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--metrics", "anls"], "evaluation.metrics: the metric anls needs turns with several acceptable `answers`"),
        (["--metrics", "roc_auc"], "the metric roc_auc needs exactly two different answers in the split"),
        (["--metrics", "bleu"], "evaluation.metrics: no metric 'bleu'; there are: accuracy, anls"),
        (["--set", "evaluation.primary=consistency"], "evaluation.primary: the metric consistency needs records with"),
        (["--split", "test"], "no split 'test' to evaluate on; there are: val"),
    ],
)
def test_what_the_data_does_not_allow_is_one_line_before_anything_is_asked(
    data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list[str], line: str
) -> None:
    out = tmp_path / "eval.json"
    found = typed(capfd, "evaluate", data, *TINY, "--out", str(out), *options)
    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert line in found.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", OF_ANOTHER)
def test_another_model_is_refused_in_one_line_that_says_so(
    data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    model, out = tmp_path / "model", tmp_path / "out"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
    places = {"@data": data, "@model": str(model), "@out": str(out)}
    found = typed(capfd, *(places.get(word, word) for word in OF_ANOTHER[command]))
    assert (found.code, found.err.count("\n")) == (2, 1), found
    assert "llama" in found.err
    assert not out.exists() or not any(out.iterdir())  # free for the next try


def test_answers_of_an_evaluation_that_was_stopped_are_kept_unless_it_is_restarted(
    data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "eval.json"

    def stopped() -> None:
        """Leave behind what an evaluation that was stopped after one answer does."""
        settings = {"model.name": "tiny", "model.precision": "fp32", "evaluation.max_new_tokens": "1"}
        identity = evaluation_identity(make_config(settings), open_dataset(data).digest(), "val")
        journal = AnswerJournal(out.with_suffix(".answers"), identity)
        with journal.writing(0) as stream:
            answer = Answer(id="val-1", turn=0, expected="green", given="from before", correct=False)
            stream.write(msgspec.json.encode(answer) + b"\n")

    for options, is_kept in (((), True), (("--restart",), False)):
        stopped()
        found = typed(capfd, "evaluate", data, *TINY, "--out", str(out), *options)
        assert found.code == 0, found.err
        assert ("1 of 3 questions answered before, and not asked again" in found.out) is is_kept
        assert (read_evaluation(out).answers[1].given == "from before") is is_kept
        assert not out.with_suffix(".answers").exists()
