"""Two real ranks share the questions, are killed, and go on; their answers are those of one process.

PHI3V_QUESTIONS=1000 asks more of them than the suite does.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from colours import colour_records, write_dataset
from tiny_runs import tiny_config
from two_ranks import TORCHRUN, kill_ranks, rank_environ

from phi3v_data.schema.dataset import Dataset
from phi3v_data.trainer.evaluation import evaluate
from phi3v_data.trainer.evaluation.result import Evaluation, read_evaluation
from phi3v_data.trainer.model_folder import load_for_evaluation

pytestmark = pytest.mark.soak

QUESTIONS = int(os.environ.get("PHI3V_QUESTIONS", "60"))
KILLED_AFTER = QUESTIONS // 6  # answers
NEW_TOKENS = 6
SHOWN = f" of {QUESTIONS // 2} questions"
MARK = 0.25  # as the `positive` of an answer, which no question of three colours gets


def start(data: Path, out: Path, stderr: int | None = None) -> subprocess.Popen[str]:
    options = ["--checkpoint", "tiny", "--precision", "fp32", "--batch-size", "1", "--out", str(out)]
    options += ["--max-new-tokens", str(NEW_TOKENS)]
    return subprocess.Popen(
        [*TORCHRUN, "-m", "phi3v_data.cli", "evaluate", str(data), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if stderr is None else stderr,
        text=True,
        env={**rank_environ(), "TERM": "xterm", "COLUMNS": "120"},
    )


@contextmanager
def terminal() -> Iterator[tuple[int, list[bytes], threading.Event]]:
    """A terminal to write to, what was written to it, and whether progress was among that."""
    ours, theirs = pty.openpty()
    written: list[bytes] = []
    shown = threading.Event()

    def read() -> None:
        try:
            while chunk := os.read(ours, 4096):
                written.append(chunk)
                if SHOWN.encode() in b"".join(written):
                    shown.set()
        except OSError:  # nobody has it open any more
            pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield theirs, written, shown
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)


def wait_for_answers(folder: Path, count: int) -> None:
    """Wait until both ranks have written so many answers together; `tail` hears of each from the kernel."""
    files = [str(folder / f"rank-{rank}.jsonl") for rank in range(2)]
    following = subprocess.Popen(
        ["tail", "--lines=+1", "--quiet", "-F", *files], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert following.stdout is not None
    seen = 0
    while seen < count:
        seen += '"given"' in following.stdout.readline()
    following.kill()
    following.wait()
    following.stdout.close()


def journaled(folder: Path) -> list[dict[str, Any]]:
    """Every whole answer in the files of the ranks."""
    lines = [line for path in sorted(folder.iterdir()) for line in path.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n") and '"given"' in line]


def mark(folder: Path) -> None:
    """Make every answer that is written down recognisable."""
    for path in folder.iterdir():
        path.write_text(path.read_text().replace('"positive":null', f'"positive":{MARK}'))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("data"), {"val": colour_records("val", QUESTIONS)})


class Continued:
    """An evaluation on two ranks that was killed and started again."""

    def __init__(self, data: Path, out: Path) -> None:
        answers = out.with_suffix(".answers")
        answers.mkdir()
        for rank in range(2):
            (answers / f"rank-{rank}.jsonl").touch()  # of a file that is not there, `tail` would hear late
        with terminal() as (stderr, written, shown):
            launcher = start(data, out, stderr)
            try:
                wait_for_answers(answers, KILLED_AFTER)
                shown.wait(60)
            finally:
                kill_ranks(launcher)
        self.shown = b"".join(written).decode(errors="replace")
        self.was_finished = out.exists()
        self.before = [answer["id"] for answer in journaled(answers)]
        mark(answers)
        again = start(data, out)
        self.logged, _ = again.communicate()
        assert again.returncode == 0, self.logged
        self.answers_are_left = answers.exists()
        self.result: Evaluation = read_evaluation(out)


@pytest.fixture(scope="module")
def continued(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Continued:
    return Continued(Path(data.folder.address), tmp_path_factory.mktemp("out") / "eval_val.json")


def test_progress_is_shown_while_two_ranks_evaluate(continued: Continued) -> None:
    assert "Evaluating val on the first of 2 processes" in continued.shown
    assert SHOWN in continued.shown


def test_what_was_answered_before_a_kill_is_not_asked_again(continued: Continued) -> None:
    assert not continued.was_finished
    assert KILLED_AFTER <= len(continued.before) < QUESTIONS
    assert len(set(continued.before)) == len(continued.before)
    kept = [answer.id for answer in continued.result.answers if answer.positive == MARK]
    assert sorted(kept) == sorted(continued.before)
    assert f"{len(kept)} of {QUESTIONS} questions answered before" in continued.logged


def test_every_question_is_answered_once(continued: Continued) -> None:
    assert [answer.id for answer in continued.result.answers] == [f"val-{number}" for number in range(QUESTIONS)]
    assert not continued.answers_are_left


@pytest.mark.parametrize("batch_size", [1, 8])
def test_two_ranks_answer_as_one_process_does_at_any_batch_size(
    continued: Continued, data: Dataset, batch_size: int
) -> None:
    settings = {"model.name": "tiny", "evaluation.batch_size": batch_size, "evaluation.max_new_tokens": NEW_TOKENS}
    config = tiny_config(settings)
    model, processor = load_for_evaluation(config)
    alone = evaluate(model, processor, data, "val", config.evaluation)
    assert [answer.given for answer in alone.answers] == [answer.given for answer in continued.result.answers]
    assert alone.metrics == continued.result.metrics
    assert len({answer.given for answer in alone.answers}) > 1
