"""What docs/sources/table.md and hub.md show is what the sources do."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from in_process import convert_here
from raw_questions import image

from phi3v_data.cli.main import load_command
from phi3v_data.converters.input.hub_dataset import HubView
from phi3v_data.converters.registry import load_source, options_of

DOCS = Path(__file__).resolve().parents[3] / "docs" / "sources"


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", (DOCS / f"{page}.md").read_text(), flags=re.DOTALL | re.MULTILINE)


def shown_options(page: str, folder: Path) -> dict[str, Any]:
    """The options of the source that the command shown gives, as they reach it."""
    (line,) = blocks(page, "console")
    program, name, *arguments = shlex.split(line.removeprefix("$ "))
    assert (program, name) == ("phi3v-data", "convert")
    return effective(page, *arguments)


def effective(page: str, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(load_command("convert"), [*arguments, "--show-config"])
    assert result.exit_code == 0, result.output or result.exception
    values = yaml.safe_load(result.output)
    assert values["source"] == page
    names = {option.name for option in options_of(load_source(page))}
    spelt = {name.replace("-", "_"): value for name, value in values.items()}
    return {name: value for name, value in spelt.items() if name in names - {"sampling"}}


def test_the_row_of_a_table_becomes_the_record(tmp_path: Path) -> None:
    row, record = map(json.loads, blocks("table", "json"))
    (tmp_path / "mine/qa/pages").mkdir(parents=True)
    (tmp_path / "mine/qa/pages/linn.png").write_bytes(image())
    (tmp_path / "mine/qa/val.jsonl").write_text(json.dumps(row))
    found = convert_here("table", tmp_path / "mine", tmp_path / "out", **shown_options("table", tmp_path))
    assert found.refused == {}
    assert [msgspec.to_builtins(made) for made in found.all()] == [record]


def test_the_file_of_options_says_what_the_command_says(tmp_path: Path) -> None:
    (text,) = blocks("table", "yaml")
    (tmp_path / "qa.yaml").write_text(text)
    assert effective("table", "--config", str(tmp_path / "qa.yaml")) == shown_options("table", tmp_path)


def test_the_row_of_the_hub_becomes_the_record(tmp_path: Path) -> None:
    row, record = map(json.loads, blocks("hub", "json"))
    file = tmp_path / "view/files/data/train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    row["image"]["bytes"] = image()
    pq.write_table(pa.Table.from_pylist([row]), file)
    options = shown_options("hub", tmp_path)
    view = HubView(
        repo=options["repo"],
        commit="0",
        module="parquet",
        arguments={},
        splits={"train": ["data/train-00000-of-00001.parquet"]},
        classes={},
    )
    (tmp_path / "view/view.json").write_bytes(msgspec.json.encode(view))
    found = convert_here("hub", tmp_path / "view", tmp_path / "out", **options)
    assert found.refused == {}
    assert [msgspec.to_builtins(made) for made in found.all()] == [record]


@pytest.mark.parametrize("page", ["table", "hub"])
def test_every_option_that_a_page_names_is_one(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text()
    result = CliRunner(env={"COLUMNS": "200"}).invoke(load_command("convert"), ["--source", page, "--help"])
    named = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", text))
    assert named <= set(re.findall(r"--[a-z]+(?:-[a-z]+)*", result.output))
