"""What is shipped, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from phi3v_data import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it there

ROOT = Path(__file__).resolve().parent.parent
NOT_SHIPPED = {".ci", "tests", "benchmarks", "docs"}


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(name) for name in done.stdout.split("\0") if name]


def settings() -> dict[str, object]:
    read: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return read


def test_every_package_folder_is_listed() -> None:
    listed = settings()["tool"]["setuptools"]["packages"]  # type: ignore[index]  # plain TOML
    folders = {path.parent for path in tracked() if path.name == "__init__.py" and path.parts[0] not in NOT_SHIPPED}
    assert sorted(listed) == sorted(".".join(("phi3v_data", *folder.parts)) for folder in folders)


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for path in tracked():
        if (ROOT / path).is_file():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_bytes((ROOT / path).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (top_level,) = (name for name in archive.namelist() if name.endswith("top_level.txt"))
        assert archive.read(top_level).decode().split() == ["phi3v_data"]
    in_packages = {path for path in tracked() if len(path.parts) > 1 and path.parts[0] not in NOT_SHIPPED}
    assert names == {
        f"phi3v_data/{path.as_posix()}"
        for path in in_packages | {Path("__init__.py"), Path("__main__.py"), Path("py.typed")}
    }


def test_no_module_lies_loose_in_the_root_beside_the_package_itself() -> None:
    loose = [path.name for path in tracked() if len(path.parts) == 1 and path.suffix == ".py"]
    assert sorted(loose) == ["__init__.py", "__main__.py"]


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "phi3v_data", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"phi3v-data, version {__version__}\n"


def test_constraints_pin_every_dependency() -> None:
    project = settings()["project"]
    optional = project["optional-dependencies"]  # type: ignore[index]  # plain TOML
    # Not pinned: what needs a GPU's compiler, and the clients of services that a run may report to.
    unpinned = ("flash", "liger", "wandb", "mlflow")
    wanted = {
        *project["dependencies"],  # type: ignore[index]
        *(each for name, extra in optional.items() if name not in unpinned for each in extra),
    }
    names = {each.partition(">=")[0].partition("[")[0].lower().replace("_", "-") for each in wanted} - {"phi3v-data"}
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert sorted(names - pinned) == []
