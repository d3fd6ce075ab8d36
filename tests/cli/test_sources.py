"""`phi3v-data sources`: plug-ins that work, plug-ins that do not, and a source of one's own to start from."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from phi3v_data.cli.main import load_command
from phi3v_data.converters.registry import ENTRY_POINTS, ConverterSpec, load_source
from phi3v_data.schema.errors import OutputError, UsageError

REPOSITORY = Path(__file__).resolve().parents[2]


def sources(*arguments: str) -> Result:
    return CliRunner().invoke(load_command("sources"), list(arguments))


def phi3v(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "phi3v_data.cli", *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, check=False, capture_output=True, text=True)


def install(site: Path, package: str, code: str, **points: str) -> None:
    """Put a package with entry points where pip would have put it."""
    module = package.replace("-", "_")
    (site / f"{module}.py").write_text(code)
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {module}:{target}" for name, target in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINTS}]", *lines]))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a source that was just started."""
    folder = tmp_path_factory.mktemp("started") / "new"
    result = sources("new", "my_pages", "--out", str(folder))
    assert result.exit_code == 0, result.output
    assert f"{folder}/my_pages.py:MyPages" in result.output
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on sys.path, whose modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("good_pack", "bad_pack", "odd_pack", "later_pack"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


# Plug-ins


def test_a_plug_in_that_works_is_listed_with_its_package(site: Path, started: Path) -> None:
    install(site, "good-pack", (started / "my_pages.py").read_text(), pages="MyPages")
    text = sources().output
    assert "pages (of the package good-pack)  Images with an answer beside each." in text
    (listed,) = (row for row in json.loads(sources("--json").output)["sources"] if row["name"] == "pages")
    assert (listed["package"], listed["failure"]) == ("good-pack", "")
    assert "question" in [option["name"] for option in listed["options"]]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("class Page(", "SyntaxError"),
        ("Other = 1", "AttributeError"),
        ("Page = 1", "is not a converter: it lacks name, discover, convert"),
        ("class Page: name = discover = convert = 1", "Page is not a dataclass with a field `input`"),
        (
            "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Page:\n"
            " name = discover = convert = 1\n input: Nowhere\n",
            "Page: the annotations of its fields cannot be read (name 'Nowhere' is not defined)",
        ),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_named_with_the_reason_and_hides_no_other(
    site: Path, started: Path, code: str, reason: str
) -> None:
    install(site, "bad-pack", code, page="Page")
    install(site, "good-pack", (started / "my_pages.py").read_text(), pages="MyPages")
    result = sources()
    assert result.exit_code == 0
    (line,) = (line for line in result.output.splitlines() if line.startswith("page (of the package bad-pack)"))
    assert "cannot be used: " in line
    assert reason in line
    assert "pages (of the package good-pack)  Images with" in result.output
    assert "\nucf101  Clips of UCF-101" in result.output
    (listed,) = (row for row in json.loads(sources("--json").output)["sources"] if row["failure"])
    assert reason in listed["failure"]
    assert listed["options"] == []
    with pytest.raises(UsageError):
        ConverterSpec(source="page", input=".").build()
    assert load_source("ucf101").name == "ucf101"


def test_a_name_that_is_taken_stays_with_whoever_had_it(site: Path, started: Path) -> None:
    code = (started / "my_pages.py").read_text()
    install(site, "odd-pack", code, ucf101="MyPages", pages="MyPages")
    install(site, "later-pack", code, pages="MyPages")
    text = sources().output
    assert "ucf101 (of the package odd-pack)  cannot be used: the source of this name is that of phi3v-data" in text
    assert "pages (of the package odd-pack)  cannot be used: the source of this name is that of later-pack" in text
    assert load_source("ucf101").__module__ == "phi3v_data.converters.sources.ucf101"
    assert load_source("pages").__module__ == "later_pack"


def test_other_sources_convert_beside_a_plug_in_that_is_broken(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "bad-pack", "raise SystemExit('no licence')", page="Page")
    monkeypatch.setenv("PYTHONPATH", str(site))
    (tmp_path / "raw/cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "raw/cat/a.png")
    line = ("convert", "--quiet", "--input", "raw", "--out", "out", "--workers", "1", "--source")
    done = phi3v(*line, "image-folder", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    broken = phi3v(*line, "page", cwd=tmp_path)
    assert broken.returncode == 2
    assert broken.stderr == (
        "phi3v-data: bad_pack:Page of the package bad-pack cannot be loaded (SystemExit: no licence)\n"
    )


# A source to start from


def test_a_new_source_passes_its_own_test_and_the_linter(started: Path) -> None:
    assert sorted(path.name for path in started.iterdir()) == ["my_pages.md", "my_pages.py", "test_my_pages.py"]
    assert not any("my_source" in path.read_text() or "MySource" in path.read_text() for path in started.iterdir())
    for tool in (["check"], ["format", "--check"]):
        line = [sys.executable, "-m", "ruff", *tool, "--config", str(REPOSITORY / "pyproject.toml"), str(started)]
        checked = subprocess.run(line, check=False, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_pages.py"]
    tested = subprocess.run(line, cwd=started, check=False, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout
    assert "1 passed" in tested.stdout


def test_the_command_of_a_new_sources_card_converts(started: Path, tmp_path: Path) -> None:
    (command_line,) = (line for line in (started / "my_pages.md").read_text().splitlines() if line.startswith("$ "))
    shutil.copy(started / "my_pages.py", tmp_path)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images/bus.png")
    (tmp_path / "images/bus.png.txt").write_text("A red bus.\n")
    done = phi3v(*shlex.split(command_line)[2:], "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "data/my_pages/my_pages_train.jsonl").read_text().splitlines()
    shown = (started / "my_pages.md").read_text().partition("```json\n")[2].partition("```")[0]
    asked = {**json.loads(shown)["conversations"][0], "user": "What does the image show?"}
    assert json.loads(record) == {**json.loads(shown), "conversations": [asked]}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x/mine.py", "x/mine.py: expected a name such as mine, without .py; its folder is given as --out DIR"),
        ("my-source", "'my-source' cannot name a source here; expected lower-case letters, digits and _: my_source"),
        ("MySource", "cannot name a source here"),
        ("../x", "cannot name a source here"),
        ("class", "cannot name a source here"),
        ("", "cannot name a source here"),
        ("ucf101", "there is a source 'ucf101' already; choose another name"),
    ],
)
def test_a_name_that_cannot_be_a_sources_is_refused(tmp_path: Path, name: str, message: str) -> None:
    result = sources("new", name, "--out", str(tmp_path))
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_an_output_that_is_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    result = sources("new", "mine", "--out", str(tmp_path / "file"))
    assert isinstance(result.exception, OutputError)
    assert str(result.exception).startswith(f"{tmp_path}/file: is or lies below a file; ")
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("file", ["mine.py", "test_mine.py", "mine.md"])
def test_a_file_that_is_there_is_not_written_over(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("precious")
    result = sources("new", "mine", "--out", str(tmp_path))
    assert isinstance(result.exception, OutputError)
    assert f"{file}: there already; choose another name, or another folder: --out DIR" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == [file]
    assert (tmp_path / file).read_text() == "precious"
