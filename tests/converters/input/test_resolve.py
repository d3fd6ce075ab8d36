"""From what the user gave to a folder of raw data."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from hub_server import HubServer

from phi3v_data.converters.input.resolve import resolve_input
from phi3v_data.converters.sources.ucf101 import UCF101
from phi3v_data.schema.errors import HubError, InputError, UsageError
from phi3v_data.storage import open_folder

CLIPS = {"UCF101_subset/train/A/a.avi": b"one", "UCF101_subset/test/B/b.avi": b"two"}


def pack(path: Path, files: dict[str, bytes] = CLIPS) -> Path:
    """Write an archive of the kind that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def contents(address: str) -> dict[str, bytes]:
    folder = open_folder(address)
    return {entry.name: folder.read(entry.name) for entry in folder.files()}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    store = fsspec.filesystem("memory")
    yield store
    store.store.clear()
    store.pseudo_dirs[:] = [""]


def refusal(given: str | Path | None, work: Path) -> str:
    with pytest.raises(InputError) as caught:
        resolve_input(UCF101, os.fspath(given) if given is not None else None, work)
    assert "\n" not in str(caught.value)
    assert not list(work.glob("*"))
    return str(caught.value)


# Folders


def test_a_folder_passes_through(tmp_path: Path, work: Path) -> None:
    assert resolve_input(UCF101, str(tmp_path), work) == str(tmp_path)
    assert not work.exists()


def test_a_relative_folder_becomes_absolute_for_workers_elsewhere(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raw").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_input(UCF101, "raw", work) == str(tmp_path / "raw")


def test_links_that_lead_out_of_the_folder_are_followed_unless_that_is_refused(tmp_path: Path, work: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    raw = tmp_path / "raw"
    (raw / "A").mkdir(parents=True)
    (raw / "A" / "inside.avi").symlink_to(raw / "A")
    (raw / "A" / "nowhere.avi").symlink_to("missing")
    (raw / "A" / "itself.avi").symlink_to("itself.avi")
    assert resolve_input(UCF101, str(raw), work, follow_links=False) == str(raw)
    (raw / "A" / "out.avi").symlink_to("/etc/hostname")
    (raw / "B").symlink_to(tmp_path / "elsewhere")
    assert resolve_input(UCF101, str(raw), work) == str(raw)
    with pytest.raises(InputError, match=r"2 links to places outside, such as A/out\.avi; .* --no-follow-links"):
        resolve_input(UCF101, str(raw), work, follow_links=False)


@pytest.mark.parametrize("name", ["raw", "raw.zip", "raw.csv"])
def test_an_input_that_is_not_a_regular_file_is_refused_and_not_waited_for(
    name: str, tmp_path: Path, work: Path
) -> None:
    os.mkfifo(tmp_path / name)
    assert "a folder was expected" in refusal(tmp_path / name, work)


def test_a_home_folder_is_found(tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_input(UCF101, "~/raw", work) == str(tmp_path / "raw")


def test_a_folder_with_the_name_of_an_archive_is_a_folder(tmp_path: Path, work: Path) -> None:
    (tmp_path / "raw.zip").mkdir()
    assert resolve_input(UCF101, str(tmp_path / "raw.zip"), work) == str(tmp_path / "raw.zip")


def test_a_remote_folder_passes_through(store: fsspec.AbstractFileSystem, work: Path) -> None:
    store.pipe_file("/bucket/raw/A/a.avi", b"one")
    assert resolve_input(UCF101, "memory://bucket/raw", work) == "memory://bucket/raw"


# Archives


@pytest.mark.parametrize("name", ["clips.tar", "clips.tar.gz", "clips.tgz", "clips.zip", "CLIPS.ZIP"])
def test_an_archive_is_unpacked(name: str, tmp_path: Path, work: Path) -> None:
    packed = pack(tmp_path / name.lower()).rename(tmp_path / name)
    assert contents(resolve_input(UCF101, str(packed), work)) == CLIPS


@pytest.mark.parametrize("name", ["clips.tar.gz", "clips.zip"])
def test_a_remote_archive_is_unpacked(name: str, tmp_path: Path, work: Path, store: fsspec.AbstractFileSystem) -> None:
    store.put_file(str(pack(tmp_path / name)), f"/bucket/{name}")
    found = resolve_input(UCF101, f"memory://bucket/{name}", work)
    assert contents(found) == CLIPS
    (work / Path(found).name / "UCF101_subset" / "witness").touch()
    assert resolve_input(UCF101, f"memory://bucket/{name}", work) == found
    assert (Path(found) / "UCF101_subset" / "witness").exists()


def test_an_archive_is_unpacked_once(tmp_path: Path, work: Path) -> None:
    packed = pack(tmp_path / "clips.tar")
    found = Path(resolve_input(UCF101, str(packed), work))
    (found / "witness").touch()
    assert resolve_input(UCF101, str(packed), work) == str(found)
    assert (found / "witness").exists()


def test_another_archive_under_the_same_name_is_unpacked_anew(tmp_path: Path, work: Path) -> None:
    packed = pack(tmp_path / "clips.tar")
    first = resolve_input(UCF101, str(packed), work)
    pack(packed, {"train/C/c.avi": b"three"})
    os.utime(packed, ns=(1, 1))
    second = resolve_input(UCF101, str(packed), work)
    assert second != first
    assert contents(second) == {"train/C/c.avi": b"three"}


def test_what_a_killed_run_left_half_unpacked_is_not_taken_for_the_whole(tmp_path: Path, work: Path) -> None:
    packed = pack(tmp_path / "clips.tar")
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from phi3v_data.converters.input.resolve import resolve_input\n"
        "from phi3v_data.converters.sources.ucf101 import UCF101\n"
        "Path.rename = lambda *_: os._exit(9)\n"  # everything is unpacked, and the power goes
        "resolve_input(UCF101, sys.argv[1], Path(sys.argv[2]))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(packed), str(work)], check=False)
    assert killed.returncode == 9
    (left,) = work.iterdir()
    (left / "UCF101_subset" / "train" / "A" / "a.avi").unlink()
    assert contents(resolve_input(UCF101, str(packed), work)) == CLIPS
    assert not left.exists()


# The public copy


def test_nothing_given_fetches_the_public_copy(hub: HubServer, tmp_path: Path, work: Path) -> None:
    hub.add("datasets/sayakpaul/ucf101-subset", "UCF101_subset.tar.gz", pack(tmp_path / "subset.tar.gz").read_bytes())
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from phi3v_data.converters.input.resolve import resolve_input\n"
        "from phi3v_data.converters.sources.ucf101 import UCF101\n"
        "print(resolve_input(UCF101, None, Path(sys.argv[1])))\n"
    )

    def resolved(**more: str) -> str:
        environment = hub.environment(tmp_path / "cache", **more)
        ran = subprocess.run(
            [sys.executable, "-c", script, str(work)], env=environment, text=True, check=True, capture_output=True
        )
        return ran.stdout.strip()

    found = resolved()
    assert contents(found) == CLIPS
    assert resolved(HF_HUB_OFFLINE="1") == found
    assert hub.ranges == [None]


def test_a_source_without_a_public_copy_asks_for_its_data(work: Path) -> None:
    with pytest.raises(InputError, match=r"no input, and own has no public copy to fetch; .* --input PATH"):
        resolve_input(type("Own", (), {"name": "own"}), None, work)


def test_no_public_copy_offline_names_the_file_to_download(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    message = refusal(None, work)
    assert "sayakpaul/ucf101-subset/resolve/main/UCF101_subset.tar.gz by hand" in message
    assert "--input PATH" in message
    with pytest.raises(HubError):
        resolve_input(UCF101, None, work)


# Bad input


def test_no_such_input_is_refused(tmp_path: Path, work: Path) -> None:
    for name in ("nowhere", "nowhere.tar.gz"):
        assert refusal(tmp_path / name, work).startswith(f"{tmp_path / name}: no such file or folder; give")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, work: Path) -> None:
    (tmp_path / "UCF101.rar").write_bytes(b"Rar!")
    message = refusal(tmp_path / "UCF101.rar", work)
    assert "neither a folder nor a file that is read here" in message
    assert ".tar.gz" in message
    assert "unpack it" in message


@pytest.mark.parametrize("name", ["clips.tar", "clips.tar.gz", "clips.tgz", "clips.zip"])
def test_a_damaged_archive_is_refused_and_leaves_nothing(name: str, tmp_path: Path, work: Path) -> None:
    packed = pack(tmp_path / name)
    packed.write_bytes(packed.read_bytes()[: min(packed.stat().st_size // 2, 700)])
    message = refusal(packed, work)
    assert message.startswith(f"{packed}: damaged, cut off, or not an archive")


def test_an_archive_of_nothing_is_refused(tmp_path: Path, work: Path) -> None:
    assert "no files in it" in refusal(pack(tmp_path / "clips.zip", {}), work)
    assert "no files in it" in refusal(pack(tmp_path / "clips.tar", {"._a.avi": b"1"}), work)


def test_an_archive_that_leaves_its_folder_is_refused_and_leaves_nothing(tmp_path: Path, work: Path) -> None:
    packed = pack(tmp_path / "clips.tar", {"train/A/a.avi": b"1", "../../evil.avi": b"2"})
    assert "'../../evil.avi' leaves the folder" in refusal(packed, work)
    assert not list(tmp_path.rglob("evil.avi"))


def test_a_missing_object_is_refused(store: fsspec.AbstractFileSystem, work: Path) -> None:
    assert "memory://bucket/raw: no such folder" in refusal("memory://bucket/raw", work)
    assert "memory://bucket/clips.tar: no such archive" in refusal("memory://bucket/clips.tar", work)


def test_an_unknown_protocol_is_refused(work: Path) -> None:
    with pytest.raises(UsageError, match="use a local path or an fsspec address"):
        resolve_input(UCF101, "nonsense://bucket/raw", work)


def test_no_permission_is_refused(tmp_path: Path, work: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    packed = pack(closed / "clips.tar")
    closed.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # root may read everything
            os.seteuid(65534)
        with pytest.raises(InputError, match=r"clips.tar: cannot be read \(Permission denied\)"):
            resolve_input(UCF101, str(packed), work)
    finally:
        os.seteuid(user)
        closed.chmod(0o700)


def test_a_path_through_a_file_is_refused(tmp_path: Path, work: Path) -> None:
    (tmp_path / "file").touch()
    assert "no such file or folder" in refusal(tmp_path / "file" / "raw", work)
