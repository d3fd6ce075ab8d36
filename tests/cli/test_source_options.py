from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from phi3v_data.cli.main import load_command
from phi3v_data.converters.registry import load_source, options_of, source_names
from phi3v_data.schema.errors import UsageError

SOURCE = '''
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal
from msgspec import Meta
from phi3v_data.converters.base import Item
from phi3v_data.converters.video.sampling import Sampling
from phi3v_data.schema.record import Record, Turn


@dataclass(frozen=True)
class Made:
    """Made of nothing."""

    name: ClassVar[str] = "made"
    input: object
    words: Annotated[tuple[str, ...], Meta(description="what is said")] = ("hello",)
    count: Annotated[int, Meta(ge=1, le=9, description="how often")] = 2
    share: Annotated[float, Meta(gt=0)] | None = None
    loud_voice: Annotated[bool, Meta(description="say it loudly")] = False
    kind: Annotated[Literal["plain", "fancy"], Meta(description="how it is said")] = "plain"
    sampling: Sampling = field(default_factory=Sampling)
    workers: Annotated[int, Meta(description="has the name of a flag of the command")] = 5

    def discover(self):
        for number in range(self.count):
            yield Item(id=f"train-{number}", split="train", path=str(number), images=f"train/{number}")

    def convert(self, item, images):
        said = " ".join(self.words) + ("!" if self.loud_voice else ".") + self.kind
        return Record(id=item.id, source="made", conversations=[Turn(user=said, assistant=str(self.share))])
'''


@pytest.fixture(autouse=True)
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.py").write_text(SOURCE)
    return "made.py:Made"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(load_command("convert"), ["--source", "made.py:Made", *arguments])


def effective(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(load_command("convert"), [*arguments, "--show-config"])
    assert result.exit_code == 0, result.output or result.exception
    shown: dict[str, Any] = yaml.safe_load(result.output)
    return shown


def made(*arguments: str) -> dict[str, Any]:
    """The values that reach the source."""
    shown = effective("--source", "made.py:Made", *arguments)
    return {name: shown.get(name) for name in ("words", "count", "share", "loud-voice", "kind", "frames", "seed")}


DEFAULTS = {"words": ["hello"], "count": 2, "share": None, "kind": "plain", "frames": 8, "seed": 0} | {
    "loud-voice": False
}


def test_every_option_of_a_source_is_a_flag() -> None:
    assert made() == DEFAULTS
    flags = ["--words", "a", "--words", "b", "--count", "3", "--share", "0.5", "--loud-voice", "--kind", "fancy"]
    given = {"words": ["a", "b"], "count": 3, "share": 0.5, "loud-voice": True, "kind": "fancy", "frames": 2, "seed": 9}
    assert made(*flags, "--frames", "2", "--seed", "9") == given


@pytest.mark.parametrize("name", source_names())
def test_help_shows_every_option_of_the_source(name: str) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(load_command("convert"), ["--source", name, "--help"])
    assert result.exit_code == 0
    for option in options_of(load_source(name)):
        assert f"--{option.name.replace('_', '-')} " in result.output
        assert option.help


def test_help_shows_choices_bounds_defaults_and_what_may_be_given_again() -> None:
    text = " ".join(run("--help").output.split())
    assert "Options of made (Made of nothing)" in text
    assert "--count INTEGER RANGE How often. [default: 2] [1<=x<=9]" in text
    assert "--kind [plain|fancy] How it is said. [default: plain]" in text
    assert "--words TEXT What is said. May be given several times. [default: 'hello']" in text
    assert "--loud-voice / --no-loud-voice Say it loudly." in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--count", "10"], "10 is not in the range 1<=x<=9"),
        (["--share", "0"], "0.0 is not in the range x>0"),
        (["--kind", "odd"], "'odd' is not one of 'plain', 'fancy'"),
        (["--counts", "x"], "no option --counts; did you mean --count?"),
        (["--zzzzz", "1"], "no option --zzzzz; this source takes: --words, --count, --share, --loud-voice, "),
    ],
)
def test_a_flag_that_cannot_work_is_refused(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_without_a_source_its_options_are_unknown() -> None:
    result = CliRunner().invoke(load_command("convert"), ["--zzzzz", "1"])
    assert result.exit_code == 2
    assert "options of a source need --source NAME" in result.output


def test_an_unknown_source_is_named_before_its_options() -> None:
    for more in (["--help"], ["--turns", "page"]):
        result = CliRunner().invoke(load_command("convert"), ["--source", "docvaq", *more])
        assert isinstance(result.exception, UsageError)
        assert "did you mean 'docvqa'?" in str(result.exception)


def test_set_reaches_options_and_stands_behind_flags() -> None:
    assert made("--set", "words=a", "--set", "count=4", "--count", "5") == {**DEFAULTS, "words": ["a"], "count": 5}


def test_set_reaches_an_option_that_has_the_name_of_another_flag() -> None:
    result = run("--set", "workers=zero", "--show-config")
    assert isinstance(result.exception, UsageError)
    assert "option workers='zero'" in str(result.exception)


CONFIG = """
source: made.py:Made
out: there
words: [a, b]
count: 4
loud_voice: true
kind: fancy
frames: 3
limit: 2
splits: [train]
shards: true
shard-size: 100MB
workers: null
"""


def test_a_file_holds_the_options_and_the_command_line_goes_before_it(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(CONFIG)
    shown = effective("--config", "run.yaml", "--count", "5", "--kind=plain")
    assert {name: shown[name] for name in ("source", "out", "words", "count", "loud-voice", "kind", "frames")} == {
        "source": "made.py:Made",
        "out": "there",
        "words": ["a", "b"],
        "count": 5,
        "loud-voice": True,
        "kind": "plain",
        "frames": 3,
    }
    assert (shown["limit"], shown["splits"], shown["shards"], shown["shard-size"]) == (2, ["train"], True, 100_000_000)
    assert "workers" not in shown


def test_what_is_shown_gives_the_same_run(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(CONFIG)
    first = CliRunner().invoke(load_command("convert"), ["--config", "run.yaml", "--show-config"]).output
    (tmp_path / "again.yaml").write_text(first)
    assert CliRunner().invoke(load_command("convert"), ["--config", "again.yaml", "--show-config"]).output == first
    (tmp_path / "raw").mkdir()
    manifests = []
    for name in ("run", "again"):
        arguments = ["--config", f"{name}.yaml", "--input", "raw", "--out", name]
        done = CliRunner().invoke(load_command("convert"), arguments)
        assert done.exit_code == 0, done.output or done.exception
        manifests.append(json.loads((tmp_path / name / "dataset.json").read_text()))
    assert manifests[0] == manifests[1]
    assert manifests[0]["options"]["words"] == ["a", "b"]
    assert [row["written"] for row in manifests[0]["splits"]] == [2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("source: made.py:Made\nwrds: [a]\n", "run.yaml: no option 'wrds'; did you mean 'words'?"),
        ("source: made.py:Made\nqqqqq: 1\n", "run.yaml: no option 'qqqqq'; it takes: source, input, "),
        ("source: made.py:Made\ncount: 10\n", "run.yaml: --count 10: at least 1, at most 9"),
        ("source: made.py:Made\nkind: yes\n", "run.yaml: kind: YAML reads this as true; put the text in quotes"),
        ("source: made.py:Made\ncount: {a: 1}\n", "run.yaml: count: expected a single value"),
        ("source: docvaq\nturns: page\n", "no source 'docvaq'; did you mean 'docvqa'?"),
        ("- a\n", "run.yaml: expected a mapping of options to values"),
        ("a: [\n", "run.yaml: not valid YAML"),
        ("source: made.py:Made\nshow-config: true\n", "run.yaml: no option 'show-config'"),
        ("source: made.py:Made\nhelp: true\n", "run.yaml: no option 'help'"),
    ],
)
def test_a_file_that_cannot_work_is_refused_by_its_name(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "run.yaml").write_text(content)
    result = CliRunner().invoke(load_command("convert"), ["--config", "run.yaml"])
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(load_command("convert"), ["--config", "none.yaml"])
    assert isinstance(result.exception, UsageError)
    assert "none.yaml: cannot be read" in str(result.exception)


def test_options_by_name_stand_under_set(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("source: made.py:Made\nset: {count: 3, workers: 7}\n")
    shown = effective("--config", "run.yaml")
    assert (shown["count"], shown["set"]) == (3, {"workers": "7"})
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(shown))
    assert effective("--config", "again.yaml") == shown


def test_set_takes_whatever_is_a_flag_of_the_source_and_names_flags_of_the_command() -> None:
    assert made("--set", "frames=3", "--set", "loud-voice=true", "--set", "count=4") == {
        **DEFAULTS,
        "frames": 3,
        "count": 4,
        "loud-voice": True,
    }
    assert made("--set", "frames=3", "--frames", "5")["frames"] == 5
    result = run("--set", "quality=90", "--show-config")
    assert result.exit_code == 2
    assert "--set quality=90: give it as --quality 90; --set is for options of the source" in result.output
    # An option of the source that has the name of the command's own flag is reached by --set alone.
    assert effective("--source", "made.py:Made", "--set", "workers=7")["set"] == {"workers": "7"}
