"""What people and programs read of a validation, and what they may say about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from phi3v_data.cli.main import run_command
from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.errors import DatasetError, UsageError
from phi3v_data.schema.rules.dataset import manifest_example
from phi3v_data.schema.rules.examples import Drawing, Example, line
from phi3v_data.schema.rules.gate import look_at_conversion, refuse_errors, summary_in_words

BAD = [line("a", user="One."), line("b", user="<|end|>"), line("c", assistant="Cafe\u0301"), *[line("d")] * 8]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of records under data/bad, in the folder where commands are given."""
    data = tmp_path / "data" / "bad"
    Example({"x_train.jsonl": "\n".join(BAD) + "\n"}).write(data)
    monkeypatch.chdir(tmp_path)
    return data


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = run_command(["validate", *arguments])
    return code, capsys.readouterr().out


def test_people_see_a_few_findings_of_each_rule_what_to_do_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys, "data/bad")
    assert code == 1
    assert "error T401 special-token: A text holds a special token" in text
    assert "  data/bad/x_train.jsonl:2 [b]: user: the text holds the special token <|end|>\n" in text
    assert "  -> Remove it, or convert with --escape-tokens" in text
    assert "  ... and 2 more\n" in text
    assert text.index("error T401") < text.index("warning T405")
    assert text.endswith("data/bad: records: train 11\n8 errors, 1 warning; images: 0; level: files\n")


def test_every_dataset_below_a_folder_is_validated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Example({"x_train.jsonl": line("a") + "\n"}).write(folder.parent / "deeper" / "good")
    _, text = run(capsys, "data", "--statistics")
    assert "data/bad: records: train 11\ndata/deeper/good: records: train 1\n" in text
    assert "-> " not in text


def test_json_is_a_finding_a_line_and_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    _, text = run(capsys, "data/bad", "--format", "json", "--select", "T")
    *found, summary = map(json.loads, text.splitlines())
    assert [(each["rule"], each["line"], each["id"]) for each in found] == [("T401", 2, "b"), ("T405", 3, "c")]
    assert summary["summary"]["errors"] == summary["summary"]["warnings"] == 1


def test_github_annotates_lines(capsys: pytest.CaptureFixture[str]) -> None:
    _, text = run(capsys, "data/bad", "--format", "github", "--select", "T401")
    first = "::error file=data/bad/x_train.jsonl,line=2,title=T401 special-token::b: user: the text holds"
    assert text.startswith(first)


def test_sarif_is_one_document_with_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    _, text = run(capsys, "data/bad", "--format", "sarif", "--select", "T")
    (made,) = json.loads(text)["runs"]
    first = made["results"][0]
    assert made["tool"]["driver"]["rules"][first["ruleIndex"]]["id"] == first["ruleId"] == "T401"
    assert first["locations"][0]["physicalLocation"]["region"] == {"startLine": 2}


def test_what_a_baseline_knows_is_left_out(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "known.json").write_text(run(capsys, "data/bad", "--format", "json")[1])
    assert run(capsys, "data/bad", "--baseline", "known.json")[0] == 0
    (folder / "x_train.jsonl").write_text("\n".join([line("new", user="</s>"), *BAD]) + "\n")
    code, text = run(capsys, "data/bad", "--baseline", "known.json", "--format", "json")
    assert code == 1
    assert [json.loads(each)["id"] for each in text.splitlines()[:-1]] == ["new"]


@pytest.mark.parametrize("content", [None, "hello\n", '{"rule": 3}\n'])
def test_what_is_not_a_baseline_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "known.json").write_text(content)
    with pytest.raises(UsageError, match=r"known\.json: (no such baseline|not a report of validate)"):
        run_command(["validate", "data/bad", "--baseline", "known.json"])


@pytest.mark.parametrize(
    ("file", "head"), [("pyproject.toml", "[tool.phi3v-data.validate"), ("phi3v.toml", "[validate")]
)
def test_a_project_says_what_is_ignored_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, head: str
) -> None:
    (tmp_path / file).write_text(f'{head}]\nignore = ["R113"]\n{head}.per-path-ignores]\n"data/bad/*" = ["T4"]\n')
    assert run(capsys, "data/bad")[0] == 0
    assert run(capsys, "data/bad", "--select", "T")[0] == 0
    (tmp_path / file).write_text(f"{head}]\nignores = []\n")
    with pytest.raises(UsageError, match="unknown field `ignores`"):
        run_command(["validate", "data/bad"])


def test_a_rule_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["rules", "special-token"])
    assert capsys.readouterr().out.startswith("T401 special-token (error, from level records on)\nA text holds")
    run_command(["rules", "--json"])
    assert {"code", "name", "remedy", "bad", "good"} <= json.loads(capsys.readouterr().out)["rules"][0].keys()


def test_an_edited_file_is_adopted_and_nothing_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "made"
    manifest_example(line("a", images=["a.png"]), line("b"), line("c"), a=Drawing("PNG")).write(folder)
    assert run(capsys, "made")[0] == 0
    (folder / "made_train.jsonl").write_text(line("b") + "\n")
    assert run(capsys, "made", "--select", "D", "--quiet")[0] == 1
    assert run(capsys, "made", "--select", "D", "--adopt")[0] == 0
    (row,) = json.loads((folder / "dataset.json").read_text())["splits"]
    assert (row["records"], row["images"], row["written"], row["skipped"], row["discovered"]) == (1, 0, 1, 2, 3)
    with pytest.raises(DatasetError, match=r"no dataset\.json to bring up to date"):
        run_command(["validate", "data/bad", "--adopt"])


def test_training_on_data_with_errors_is_refused_in_one_line(folder: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        refuse_errors([open_dataset(str(folder))])
    assert "\n" not in str(caught.value)
    assert "8 errors, the first in " in str(caught.value)
    assert "give --no-validate" in str(caught.value)
    (folder / "x_train.jsonl").write_text(line("c", assistant="Cafe\u0301") + "\n")
    refuse_errors([open_dataset(str(folder))])


def test_a_conversion_says_what_was_found_and_leaves_nothing_behind(folder: Path) -> None:
    before = sorted(folder.iterdir())
    found = look_at_conversion(open_dataset(str(folder)))
    assert summary_in_words(found, "data/x") == "8 errors, 1 warning; phi3v-data validate data/x shows them"
    (folder / "x_train.jsonl").write_text(line("c") + "\n")
    assert summary_in_words(look_at_conversion(open_dataset(str(folder))), "data/x") == "clean"
    assert sorted(folder.iterdir()) == before
