"""From a source's name to its converter: the built-ins, installed entry points, or a class in a local file.

A package that cannot be loaded is listed with the reason, and hides no other.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import CodeType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from ..schema.errors import UsageError
from ..storage import is_remote, open_folder
from .base import Converter

ENTRY_POINTS = "phi3v_data.converters"

_BUILT_IN = {
    "chat": "chat:Chat",
    "docvqa": "docvqa:DocVQA",
    "hateful_memes": "hateful_memes:HatefulMemes",
    "hub": "hub:Hub",
    "image-folder": "image_folder:ImageFolder",
    "nlvr": "nlvr:NLVR",
    "nlvr2": "nlvr2:NLVR2",
    "table": "table:Table",
    "ucf101": "ucf101:UCF101",
    "video-folder": "video_folder:VideoFolder",
}
_FILE_EXPECTED = "a source of your own is given as path/to/file.py:Class"


class ConverterSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a worker needs to build the converter again."""

    source: str  # a name, or `path/to/file.py:Class`
    input: str  # address of the raw data's folder
    options: dict[str, Any] = {}  # the source's own, as plain values

    def build(self) -> Converter:
        """Make the converter; raises UsageError: no such source or option, or a value out of its bounds."""
        cls = load_source(self.source)
        known = {option.name: option for option in options_of(cls)}
        values = {}
        for name, value in self.options.items():
            if name not in known:
                raise UsageError(f"{cls.name} has no option {name!r}{_nearest(name, known, 'it takes')}")
            try:
                values[name] = msgspec.convert(value, known[name].type, strict=False)
            except msgspec.ValidationError as error:
                raise UsageError(f"{cls.name}, option {name}={value!r}: {error}{_choices(known[name].type)}") from error
        for name, option in known.items():
            if option.is_required and name not in values:
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(f"{cls.name} needs {flag}: {option.help or 'it has no default'}")
        made: Converter = cls(input=open_folder(self.input), **values)
        return made


class Option(NamedTuple):
    """One option of a source."""

    name: str
    type: Any  # its annotation, bounds and all
    is_required: bool
    default: Any  # as a plain value, None where there is none
    help: str  # the texts in its annotation, or the descriptions of its Meta


def options_of(cls: type[Any]) -> list[Option]:
    """List a converter's options: its dataclass fields, `input` left out."""
    if not is_dataclass(cls) or "input" not in (field.name for field in fields(cls)):
        raise UsageError(
            f"{cls.__name__} is not a dataclass with a field `input`, as a converter is (see converters.base)"
        )
    try:
        hints = get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, SyntaxError) as error:
        raise UsageError(f"{cls.__name__}: the annotations of its fields cannot be read ({error})") from error
    return [_option(field, hints[field.name]) for field in fields(cls) if field.name != "input"]


def _option(field: Field[Any], hint: Any) -> Option:
    value = field.default if field.default_factory is MISSING else field.default_factory()
    notes = getattr(hint, "__metadata__", ())
    texts = [note if isinstance(note, str) else getattr(note, "description", None) for note in notes]
    default = None if value is MISSING else msgspec.to_builtins(value)
    return Option(field.name, hint, value is MISSING, default, " ".join(filter(None, texts)))


def _choices(hint: Any) -> str:
    plain = getattr(hint, "__origin__", hint) if hasattr(hint, "__metadata__") else hint
    return f"; expected {' or '.join(map(str, get_args(plain)))}" if get_origin(plain) is Literal else ""


def _nearest(given: str, known: Iterable[str], listing: str) -> str:
    near = difflib.get_close_matches(given, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; {listing}: {', '.join(known)}"


def _entry_points() -> Iterator[tuple[str, EntryPoint]]:
    """Yield each source with the package that brings it, "" for a built-in one; of one name, the first is used."""
    for name, place in _BUILT_IN.items():
        yield "", EntryPoint(name, f"{__package__}.sources.{place}", ENTRY_POINTS)
    brought = ((p.dist.name if p.dist else "an unnamed package", p) for p in entry_points(group=ENTRY_POINTS))
    yield from sorted(brought, key=lambda pair: (pair[1].name, pair[0]))


def source_names() -> list[str]:
    """Name every source: the built-in ones and those that installed packages bring."""
    return sorted({point.name for _, point in _entry_points()})


def load_source(source: str) -> type[Any]:
    """Return a source's converter class.

    Args:
        source: a built-in name, an entry point in the group `phi3v_data.converters`, or `path/to/file.py:Class`.

    Raises:
        UsageError: there is no such source (the nearest name is suggested), or it is not a converter.
    """
    file, colon, attribute = source.rpartition(":")
    if colon and file.endswith(".py"):
        if is_remote(file):
            raise UsageError(f"{source}: code is read from this machine only; copy the file here and name the copy")
        return _checked(_from_file(Path(file), attribute), source)
    for package, point in _entry_points():
        if point.name == source:
            with _own_code(f"{point.value} of the package {package}" if package else point.value):
                return _checked(point.load(), source)
    if source.endswith(".py"):
        raise UsageError(f"{source}: which class of it? A{_FILE_EXPECTED[1:]}")
    hint = f"; {_FILE_EXPECTED}" if colon else _nearest(source, source_names(), "there are")
    raise UsageError(f"no source {source!r}{hint}")


class _Uncached(SourceFileLoader):
    """Compiles a file each time: its folder, which may be the input, gets no bytecode beside it."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _from_file(path: Path, attribute: str) -> Any:
    if not path.is_file():
        raise UsageError(f"{path}: no such file; {_FILE_EXPECTED}")
    # A name that follows from the path: worker processes import it again under the same one.
    name = f"phi3v_data_source_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve(), loader=_Uncached(name, str(path.resolve())))
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python file; {_FILE_EXPECTED}")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    with _own_code(str(path)):
        spec.loader.exec_module(module)
    if not hasattr(module, attribute):
        raise UsageError(f"{path} has no class {attribute!r}")
    return getattr(module, attribute)


@contextmanager
def _own_code(where: str) -> Iterator[None]:
    """Report in one line what is wrong with code that is not ours."""
    try:
        yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{where} cannot be loaded ({type(error).__name__}: {error})") from error


def _checked(found: Any, source: str) -> type[Any]:
    missing = [part for part in ("name", "discover", "convert") if not hasattr(found, part)]
    if missing or not isinstance(found, type):
        raise UsageError(f"{source} is not a converter: it lacks {', '.join(missing) or 'a class'}")
    return found


class ListedSource(NamedTuple):
    """One source, and the package that brings it, "" for a built-in one; without a converter, why it has none."""

    name: str
    package: str
    converter: type[Any] | None
    failure: str = ""

    @property
    def summary(self) -> str:
        """The first line of what it says of itself."""
        return (inspect.getdoc(self.converter) or "").partition("\n")[0] if self.converter else ""


def listed_sources() -> list[ListedSource]:
    """List every source by name. One that cannot be loaded, or whose name is taken, says why, and hides no other."""
    listed: list[ListedSource] = []
    owners: dict[str, str] = {}
    for package, point in _entry_points():
        owner = owners.setdefault(point.name, package)
        try:
            if owner != package:
                raise UsageError(f"the source of this name is that of {owner or 'phi3v-data'}")
            options_of(converter := load_source(point.name))
            listed.append(ListedSource(point.name, package, converter))
        except UsageError as error:
            listed.append(ListedSource(point.name, package, None, " ".join(str(error).split())))
    return sorted(listed, key=lambda source: (source.name, source.package))
