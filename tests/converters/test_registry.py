"""From a source's name to its converter."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from phi3v_data.converters import base
from phi3v_data.converters.registry import ENTRY_POINTS, ConverterSpec, load_source, options_of, source_names
from phi3v_data.converters.sources.ucf101 import UCF101
from phi3v_data.converters.video.sampling import Sampling
from phi3v_data.schema.errors import UsageError

OWN = '''
from __future__ import annotations
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar
from msgspec import Meta
from phi3v_data.converters.base import ImageSink, Item
from phi3v_data.storage import Folder
from phi3v_data.schema.record import Record, Turn

@dataclass(frozen=True)
class Notes:
    """A folder of notes."""

    name: ClassVar[str] = "notes"
    input: Folder
    count: Annotated[int, Meta(ge=1, description="how many")] = 3
    words: list[str] = field(default_factory=lambda: ["a", "b"])
    loud: bool = False

    def discover(self) -> Iterator[Item]:
        for number, entry in enumerate(self.input.list()):
            yield Item(id=str(number), split="train", path=entry.name, images=entry.name)

    def convert(self, item: Item, images: ImageSink) -> Record:
        return Record(id=item.id, conversations=[Turn(user=item.path, assistant=str(self.count))])

@dataclass(frozen=True)
class Needy(Notes):
    must: Annotated[str, Meta(description="what to say")] = field(kw_only=True)

class Plain:
    name = "plain"
    def discover(self): ...
    def convert(self, item, images): ...

class Half:
    name = "half"
    def discover(self): ...

number = 5
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "my notes.py"
    path.write_text(OWN)
    return path


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that brings two sources, one of them broken, as pip would have installed it."""
    (tmp_path / "notes_package.py").write_text(OWN)
    (tmp_path / "broken_package.py").write_text("import no_such_module_anywhere")
    info = tmp_path / "notes_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: notes-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{ENTRY_POINTS}]\nnotes = notes_package:Notes\nbroken = broken_package:Broken\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "notes_package", raising=False)
    return tmp_path


def spec(source: str | Path, folder: Path, **options: object) -> ConverterSpec:
    return ConverterSpec(source=str(source), input=str(folder), options=options)


# Sources


def test_a_built_in_source_is_found_by_its_name(tmp_path: Path) -> None:
    assert load_source("ucf101") is UCF101
    assert "ucf101" in source_names()
    made = spec("ucf101", tmp_path).build()
    assert isinstance(made, UCF101)
    assert made.input.address == str(tmp_path)


def test_an_installed_package_brings_a_source(installed: Path) -> None:
    assert {"notes", "ucf101"} <= set(source_names())
    (installed / "input").mkdir()
    made = spec("notes", installed / "input", count="5").build()
    assert made.name == "notes"
    assert made.count == 5  # type: ignore[attr-defined]  # of a class that is not known here


def test_a_class_in_a_local_file_is_a_source(own: Path) -> None:
    made = spec(f"{own}:Notes", own.parent).build()
    (item,) = made.discover()
    record = made.convert(item, None)  # type: ignore[arg-type]  # it shows no images
    assert record.conversations[0].user == "my notes.py"


def test_nothing_is_written_beside_a_local_file_and_what_changed_in_it_is_seen_at_once(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for count in (3, 4):
        # As long as before and in the same moment: bytecode of the one would be taken for the other.
        own.write_text(OWN.replace("] = 3", f"] = {count}"))
        made = spec(f"{own}:Notes", own.parent).build()
        (item,) = made.discover()
        assert made.convert(item, None).conversations[0].assistant == str(count)  # type: ignore[arg-type]
    assert [path.name for path in own.parent.iterdir()] == [own.name]


def test_a_spec_travels_to_a_worker(own: Path) -> None:
    given = spec(f"{own}:Notes", own.parent, count=7)
    travelled = msgspec.json.decode(msgspec.json.encode(given), type=ConverterSpec)
    assert travelled == given
    assert repr(travelled.build()) == repr(given.build())


def test_a_source_of_ones_own_takes_under_forty_lines() -> None:
    example = inspect.getdoc(base) or ""
    lines = example[example.index("@dataclass") : example.index("The engine owns")].strip().splitlines()
    assert "class Images" in example
    assert len(lines) < 40


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("ucf102", "no source 'ucf102'; did you mean 'ucf101'?"),
        ("zzz", "no source 'zzz'; there are: "),
        ("", "no source ''; there are: "),
        ("nowhere.py:Notes", "nowhere.py: no such file; a source of your own is given as path/to/file.py:Class"),
        ("nowhere.py", "nowhere.py: which class of it?"),
        ("{own}", "which class of it? A source of your own is given as path/to/file.py:Class"),
        ("{own}:Nothing", "has no class 'Nothing'"),
        ("{own}:number", "is not a converter: it lacks"),
        ("{own}:Half", "is not a converter: it lacks convert"),
        ("{own}:Plain", "Plain is not a dataclass with a field `input`"),
    ],
)
def test_a_source_that_is_none_is_refused(own: Path, source: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        spec(source.format(own=own), own.parent).build()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "reason"),
    [("class Own(", "SyntaxError"), ("import no_such_module", "ModuleNotFoundError"), ("1 / 0", "ZeroDivisionError")],
)
def test_a_file_that_cannot_be_loaded_is_refused(tmp_path: Path, code: str, reason: str) -> None:
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(UsageError, match=rf"own\.py cannot be loaded \({reason}: "):
        load_source(f"{tmp_path / 'own.py'}:Own")


@pytest.mark.usefixtures("installed")
def test_an_installed_source_that_cannot_be_loaded_is_refused() -> None:
    with pytest.raises(UsageError, match=r"broken_package:Broken of the package notes-package cannot be loaded \("):
        load_source("broken")


# Options


def test_options_are_listed_with_their_defaults_and_what_they_do() -> None:
    options = {option.name: option for option in options_of(UCF101)}
    assert list(options) == ["prompt", "sampling", "decoder", "fold"]
    assert (options["fold"].default, options["fold"].help) == (1, "fold of the official lists of the full dataset")
    assert options["sampling"].default["frames"] == 8
    assert all(option.help for option in options.values())


def test_options_of_every_kind_are_listed(own: Path) -> None:
    options = {option.name: (option.is_required, option.default) for option in options_of(load_source(f"{own}:Needy"))}
    assert options == {"count": (False, 3), "words": (False, ["a", "b"]), "loud": (False, False), "must": (True, None)}


def test_options_given_as_text_become_what_they_are(tmp_path: Path, own: Path) -> None:
    made = spec("ucf101", tmp_path, fold="2", sampling={"frames": "4", "jitter": "true"}, decoder="pyav").build()
    assert made == UCF101(input=made.input, sampling=Sampling(frames=4, jitter=True), decoder="pyav", fold=2)
    assert spec(f"{own}:Notes", tmp_path, loud="true").build().loud is True  # type: ignore[attr-defined]  # its own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fld": 1}, "ucf101 has no option 'fld'; did you mean 'fold'?"),
        ({"zzz": 1}, "ucf101 has no option 'zzz'; it takes: prompt, sampling, decoder, fold"),
        ({"input": "/"}, "ucf101 has no option 'input'"),
        ({"fold": 4}, "ucf101, option fold=4: Expected `int` <= 3"),
        ({"fold": "one"}, "ucf101, option fold='one': Expected `int`, got `str`"),
        (
            {"decoder": "vlc"},
            "ucf101, option decoder='vlc': Invalid enum value 'vlc'; expected auto or pyav or decord or opencv",
        ),
        ({"sampling": {"frames": 0}}, "frames = 0: give at least 1"),
        ({"sampling": {"frames": "x"}}, "ucf101, option sampling="),
    ],
)
def test_an_option_that_cannot_be_is_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        spec("ucf101", tmp_path, **options).build()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_option_without_a_default_must_be_given(own: Path) -> None:
    with pytest.raises(UsageError, match="notes needs --must: what to say"):
        spec(f"{own}:Needy", own.parent).build()
    assert spec(f"{own}:Needy", own.parent, must="hello").build().must == "hello"  # type: ignore[attr-defined]  # its own


def test_the_type_of_an_option_carries_its_bounds() -> None:
    hints = get_type_hints(UCF101, include_extras=True)
    assert {option.name: option.type for option in options_of(UCF101)} == {
        name: hints[name] for name in ("sampling", "decoder", "fold", "prompt")
    }
