from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import pytest
from tiny_runs import traced

from phi3v_data.cli.main import run_command
from phi3v_data.cli.mixture import open_sources
from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.errors import DatasetError
from phi3v_data.schema.index import Counting, RecordIndex, record_costs
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.record import Record, Turn, encode_record
from phi3v_data.schema.shards import Sample, ShardWriter
from phi3v_data.storage import LocalFolder
from phi3v_data.trainer.data.plan import Plan, Stream
from phi3v_data.trainer.phi3v.tiny import tiny_processor


def write(root: Path, count: int, prefix: str = "r") -> str:
    """Write records of growing length, whose images are nowhere."""
    records = [
        Record(id=f"{prefix}{number}", conversations=[Turn(user="?" * (1 + number), assistant="!")])
        for number in range(count)
    ]
    write_records(LocalFolder(root), "x_train.jsonl", records)
    return str(root)


def in_shards(data: str, root: Path) -> str:
    """Write the records of a dataset without images as shards of one each, and return their pattern."""
    with ShardWriter(LocalFolder(root), "x", "train", size=1, columns=[]) as writer:
        for record in open_dataset(data).records("train"):
            writer.add(Sample(encode_record(record), []))
    return f"{root}/shards/x-train-*.tar"


def order(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert run_command(["order", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_ids_are_those_of_the_plans_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path, 11)
    printed = order(capsys, data, "--batch-size", "4", "--seed", "3", "--steps", "2:6")
    plan = Plan([Stream(11)], 4, 3)
    assert printed == [
        {"step": step, "ids": [f"r{sample.record}" for sample in plan.step(step)]} for step in range(2, 6)
    ]


def test_of_several_datasets_each_id_comes_with_the_number_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write(tmp_path / "a", 5), write(tmp_path / "b", 9, "s")
    printed = order(capsys, "--data", f"{a}:2", "--data", f"{b}:0.5", "--batch-size", "10", "--steps", "0:2")
    for line in printed:
        assert [identity[0] for identity in line["ids"]] == ["rs"[number] for number in line["data"]]
        assert line["data"].count(0) == 8


def test_longer_records_are_left_out_as_training_leaves_them_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(tmp_path, 12)
    costs = record_costs(RecordIndex(open_dataset(data), "train"), Counting.of(tiny_processor()))
    longest = int(costs.tokens[7])
    printed = order(
        capsys, data, "--batch-size", "8", "--steps", "0:1", "--max-tokens", str(longest), "--model", "tiny"
    )
    assert sorted(printed[0]["ids"]) == [f"r{number}" for number in range(8)]


def test_what_is_printed_is_what_training_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a", 7), write(tmp_path / "b", 6, "s")
    shards = in_shards(b, tmp_path / "shards")
    costs = record_costs(RecordIndex(open_dataset(a), "train"), Counting.of(tiny_processor()))
    both = ["--data", f"{a}:2", "--data", f"{shards}:1", "--batch-size", "3", "--seed", "4", "--model", "tiny"]
    both += ["--max-tokens", str(costs.tokens[5]), "--set", "data.shards_per_block=2"]
    settings = ["model.gradient_checkpointing=0", "evaluation.enabled=false", "data.trace=true", "log_every=1"]
    run = ["--out", str(tmp_path / "run"), "--precision", "fp32", "--strategy", "full", "--too-long", "drop"]
    assert run_command(["train", *both, *run, *[part for each in settings for part in ("--set", each)]]) == 0
    capsys.readouterr()
    printed = {line["step"]: line["ids"] for line in order(capsys, *both, "--steps", "0:4")}
    assert traced(tmp_path / "run") == printed
    assert all("r6" not in ids for ids in printed.values())


def test_no_image_is_touched_and_neither_torch_nor_a_tokenizer_is_loaded(tmp_path: Path) -> None:
    records = [Record(id="r", conversations=[Turn(images=["missing.jpg"], user="?", assistant="!")])]
    write_records(LocalFolder(tmp_path), "x_train.jsonl", records)
    program = (
        "import sys; from phi3v_data.cli.main import run_command\n"
        f"run_command(['order', {str(tmp_path)!r}, '--batch-size', '2', '--steps', '0:1'])\n"
        "print(sorted({'torch', 'transformers', 'tokenizers', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ['{"step":0,"ids":["r","r"]}', "[]"]


@pytest.mark.parametrize("steps", ["3", "a:b", "-1:2", "1:", "1:2:3", "", "3:3", "3:1"])
def test_steps_that_are_no_range_are_refused(tmp_path: Path, steps: str) -> None:
    with pytest.raises(click.UsageError, match="expected A:B"):
        run_command(["order", write(tmp_path, 3), "--steps", steps])


def test_data_and_a_mixture_together_are_refused(tmp_path: Path) -> None:
    data = write(tmp_path, 3)
    with pytest.raises(click.UsageError, match="name every dataset by --data"):
        run_command(["order", data, "--data", data, "--steps", "0:1"])


def test_a_weight_is_what_follows_the_last_colon_if_it_is_a_number(tmp_path: Path) -> None:
    data = write(tmp_path / "a:b", 3)
    given = [f"{data}:2", data, f"{data}:1/3", f"{data}:0.25"]
    weights = [source.weight for source in open_sources(None, given)]
    assert weights == [Fraction(2), None, Fraction(1, 3), Fraction(1, 4)]
    with pytest.raises(DatasetError, match="nowhere: no such dataset folder"):
        open_sources(None, ["nowhere:3"])
    for no_number in ("nan", "1/0", "1e999999999", "1e-999999999"):
        with pytest.raises(DatasetError, match=f"nowhere:{no_number}: no such dataset folder"):
            open_sources(None, [f"nowhere:{no_number}"])
