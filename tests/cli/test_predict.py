from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest
from colours import colour_records, write_dataset
from PIL import Image

from phi3v_data.cli.main import run_command
from phi3v_data.schema.errors import InputError, UsageError
from phi3v_data.trainer.config import EvaluationConfig
from phi3v_data.trainer.evaluation import evaluate
from phi3v_data.trainer.phi3v.tiny import tiny_model, tiny_processor

_TINY = ["predict", "--checkpoint", "tiny", "--precision", "fp32", "--max-new-tokens", "8"]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 30), (200, 30, 30)).save(tmp_path / "red.png")
    return tmp_path / "red.png"


def _plainly(image: Path, prompt: str) -> str:
    """The answer by the processor and generate alone."""
    processor = tiny_processor()
    inputs = processor(f"<|user|>\n<|image_1|>\n{prompt}<|end|>\n<|assistant|>\n", Image.open(image))
    out = tiny_model().eval().generate(**inputs, max_new_tokens=8, do_sample=False)
    return str(processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)).strip()


def test_the_answer_is_streamed_and_its_time_a_token_said(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = _plainly(image, "What?")
    assert run_command([*_TINY, str(image), "--prompt", "What?"]) == 0
    streamed, said = capsys.readouterr()
    assert streamed.strip() == "".join(letter for letter in expected if letter.isprintable()).strip()
    assert re.search(r"38 tokens in, 8 out; the first after \d+\.\d\d s, then \d+ ms a token", said)


def test_an_answer_as_json_is_whole(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*_TINY, str(image), "--prompt", "What?", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answer"] == _plainly(image, "What?")
    assert (found["images"], found["prompt"]) == ([str(image)], "What?")
    assert (found["prompt_tokens"], found["tokens"]) == (38, 8)


def test_questions_of_a_dataset_get_the_answers_of_its_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colours = write_dataset(tmp_path, {"val": colour_records("val", 3)})
    expected = evaluate(tiny_model(), tiny_processor(), colours, "val", EvaluationConfig(max_new_tokens=8))
    assert run_command([*_TINY, "--data", colours.folder.address, "--limit", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["answers"]
    by_id = {answer.id: answer.given for answer in expected.answers}
    assert [row["answer"] for row in found] == [by_id[row["id"]] for row in found]
    assert [row["id"] for row in found] == ["val-0", "val-1"]
    assert run_command([*_TINY, "--data", colours.folder.address, "--limit", "1"]) == 0
    assert capsys.readouterr().out.startswith("val-0, turn 1: expected 'red', answered ")


@pytest.mark.parametrize("arguments", [[], ["--prompt", "What?", "--data", "x"]])
def test_a_prompt_or_a_dataset_is_asked_for(arguments: list[str]) -> None:
    with pytest.raises(click.UsageError, match="one of the two"):
        run_command([*_TINY, *arguments])


@pytest.mark.parametrize(
    ("name", "prompt", "error", "message"),
    [
        ("missing.png", "What?", UsageError, "no such file; pass image files"),
        ("folder", "What?", UsageError, "no such file; pass image files"),
        ("text.png", "What?", InputError, "cannot be read as an image"),
        ("red.png", " ", UsageError, "--prompt is empty"),
        ("red.png", "What?<|end|>", UsageError, r"holds the special token <\|end\|>: leave it out"),
        ("red.png", "<|image_1|> What?", UsageError, "images are placed in front, in their order"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(
    image: Path, name: str, prompt: str, error: type[Exception], message: str
) -> None:
    (image.parent / "folder").mkdir()
    (image.parent / "text.png").write_text("text")
    with pytest.raises(error, match=message) as raised:
        run_command([*_TINY, str(image.parent / name), "--prompt", prompt])
    assert "\n" not in str(raised.value)
