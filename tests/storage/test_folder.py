"""A folder of files: one behaviour, on this machine and on object stores."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3_server import credentials, s3_server

from phi3v_data.schema.errors import InputError, UsageError
from phi3v_data.storage import (
    Entry,
    Folder,
    LocalFolder,
    RemoteFolder,
    check_readable,
    is_remote,
    name_key,
    open_folder,
    remote,
)
from phi3v_data.storage.outage import is_transient


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a bucket on a real S3 server, on loopback."""
    with s3_server() as (host, port), credentials(f"http://{host}:{port}"):
        fsspec.filesystem("s3").mkdir("tests")
        yield "s3://tests"


@pytest.fixture(params=["local", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    if request.param == "local":
        yield open_folder(tmp_path / "some folder")
        return
    bucket = "memory://tests" if request.param == "memory" else request.getfixturevalue("s3")
    folder = open_folder(f"{bucket}/some folder")
    yield folder
    folder.delete("")


# One behaviour


def test_a_file_is_read_back(folder: Folder) -> None:
    folder.write("a/b/c.txt", b"text")
    assert folder.read("a/b/c.txt") == b"text"
    assert folder.size("a/b/c.txt") == 4
    assert folder.exists("a/b/c.txt")
    assert folder.exists("a/b")
    assert not folder.exists("a/b/c")
    with folder.open("a/b/c.txt") as stream:
        assert stream.seek(2) == 2
        assert stream.read(1) == b"x"


def test_a_stream_gives_lines_of_at_most_so_many_bytes(folder: Folder) -> None:
    folder.write("a.json", b"a line\nanother")
    with folder.open("a.json") as stream:
        assert [stream.readline(4), stream.readline(4), stream.tell(), stream.readline()] == [
            *(b"a li", b"ne\n", 7),
            b"another",
        ]


def test_a_file_is_written_over(folder: Folder) -> None:
    folder.write("a.txt", b"first")
    folder.write("a.txt", b"second")
    assert folder.read("a.txt") == b"second"


def test_a_file_appears_when_it_is_complete_and_never_if_writing_fails(folder: Folder) -> None:
    with folder.create("a/b.txt") as stream:
        stream.write(b"half")
        stream.flush()
        assert not folder.exists("a/b.txt")
        stream.write(b" whole")
    assert folder.read("a/b.txt") == b"half whole"
    failure = RuntimeError("half-way")
    with contextlib.suppress(RuntimeError), folder.create("a/b.txt") as stream:
        stream.write(b"other")
        raise failure
    assert folder.read("a/b.txt") == b"half whole"
    assert [entry.name for entry in folder.files()] == ["a/b.txt"]


def test_a_listing_is_sorted_by_code_points_without_hidden_names(folder: Folder) -> None:
    for name in ["b", "B", "é", "a b", ".hidden", "folder/x", "folder/.hidden/y", "zz/.hidden"]:
        folder.write(name, name.encode())
    assert folder.list() == [
        Entry("B", False, 1),
        Entry("a b", False, 3),
        Entry("b", False, 1),
        Entry("folder", True, 0),
        Entry("zz", True, 0),
        Entry("é", False, 2),
    ]
    assert folder.list("folder") == [Entry("folder/x", False, 8)]
    assert [entry.name for entry in folder.files()] == ["B", "a b", "b", "folder/x", "é"]


def test_a_new_file_shows_in_a_listing_made_before(folder: Folder) -> None:
    folder.write("a", b"")
    assert len(folder.list()) == 1
    open_folder(folder.address).write("b", b"")
    assert [entry.name for entry in folder.list()] == ["a", "b"]


def test_files_and_folders_are_deleted_and_what_is_not_there_is_no_matter(folder: Folder) -> None:
    for name in ["a/b", "a/c/d", "e"]:
        folder.write(name, b"")
    folder.delete("a")
    folder.delete("a")
    assert [entry.name for entry in folder.files()] == ["e"]
    folder.delete("e")
    assert not folder.exists("e")


def test_a_file_has_a_path_of_its_own_name_on_this_machine(folder: Folder) -> None:
    folder.write("a/clip one.avi", b"text")
    with folder.local("a/clip one.avi") as path:
        assert path.name == "clip one.avi"
        assert path.read_bytes() == b"text"


def test_a_missing_file_is_a_missing_file(folder: Folder) -> None:
    folder.write("a", b"")
    for look in (folder.read, folder.size, folder.fingerprint, folder.sha256):
        with pytest.raises(FileNotFoundError):
            look("missing")


def test_a_fingerprint_changes_with_the_file(folder: Folder) -> None:
    folder.write("a", b"first")
    before = folder.fingerprint("a")
    assert folder.fingerprint("a") == before
    folder.write("a", b"other")
    assert folder.fingerprint("a") != before


def test_a_folder_travels_to_other_processes(folder: Folder) -> None:
    folder.write("a", b"text")
    copy = pickle.loads(pickle.dumps(folder))
    assert copy.address == folder.address
    assert copy.read("a") == b"text"


def test_a_folder_that_is_there_is_readable_and_one_that_is_not_is_refused(folder: Folder) -> None:
    folder.write("inner/a", b"")
    check_readable(folder)
    with pytest.raises(InputError, match="missing: no such folder"):
        check_readable(open_folder(f"{folder.address}/missing"))


# On this machine


def test_many_writers_of_one_new_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    folder, failures = LocalFolder(tmp_path / "new"), []

    def write(number: int) -> None:
        try:
            for part in range(40):
                folder.write(f"{number}/{part}", b"x")
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sum(1 for _ in folder.files()) == 240
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [str(number) for number in range(6)]


def test_a_writer_that_is_killed_leaves_nothing_under_the_files_name(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from phi3v_data.storage import LocalFolder\n"
        "with LocalFolder(sys.argv[1]).create('a/b') as stream:\n"
        "    stream.write(b'half')\n"
        "    stream.flush()\n"
        "    os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == 9
    folder = LocalFolder(tmp_path)
    assert list(folder.files()) == []
    folder.write("a/b", b"whole")
    assert [entry.name for entry in folder.files()] == ["a/b"]


def test_a_name_may_hold_a_line_end(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.write("a\nb/c\n", b"text")
    assert [entry.name for entry in folder.files()] == ["a\nb/c\n"]


def test_a_link_that_leads_nowhere_is_listed_and_fails_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a.avi").symlink_to(tmp_path / "gone.avi")
    folder = LocalFolder(tmp_path)
    assert folder.list() == [Entry("a.avi", False, 0)]
    with pytest.raises(FileNotFoundError):
        folder.open("a.avi")


def test_a_link_to_itself_is_listed_and_fails_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a").write_bytes(b"1")
    folder = LocalFolder(tmp_path)
    assert folder.list() == [Entry("a", False, 1), Entry("loop", False, 0)]
    with pytest.raises(OSError, match="symbolic links"):
        folder.open("loop")


def test_a_link_to_a_folder_around_it_is_not_walked_into(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "out").symlink_to(tmp_path.parent)
    (tmp_path / "other").symlink_to(tmp_path / "a" / "b")
    assert [entry.name for entry in LocalFolder(tmp_path).files()] == [
        "a/b/up",
        "a/out",
        "other/up/b/up",
        "other/up/out",
    ]


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(("make", "kind"), [(_fifo, "a FIFO"), (_socket, "a socket"), (_device, "a device")])
def test_what_is_not_a_regular_file_is_refused_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], kind: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    make(Path("odd.jpg"))
    folder = LocalFolder(tmp_path)
    for read in (folder.open, lambda name: folder.local(name).__enter__()):
        with pytest.raises(OSError, match=f"{kind}, not a regular file"):
            read("odd.jpg")


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/hostname", "a\0b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(folder: Folder, name: str) -> None:
    for action in (folder.open, folder.read, folder.list, folder.size, folder.delete):
        with pytest.raises(OSError, match="leads out of the folder"):
            action(name)


def test_a_store_without_credentials_is_one_line_with_the_remedy(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    try:
        with pytest.raises(
            UsageError, match=r"s3://tests/x: no credentials for this store .* AWS_ACCESS_KEY_ID"
        ) as raised:
            check_readable(open_folder(f"{s3}/x"))
    finally:
        fsspec.get_filesystem_class("s3").clear_instance_cache()
    assert not is_transient(raised.value)


def test_a_store_that_never_answers_is_given_up_after_its_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(remote._S3, "read_timeout", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, credentials(f"http://127.0.0.1:{silent.getsockname()[1]}"):
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        try:
            with pytest.raises(Exception, match="timeout") as raised:  # a class of the client
                open_folder("s3://bucket/folder").read("a")
        finally:
            fsspec.get_filesystem_class("s3").clear_instance_cache()
    assert is_transient(raised.value)


def test_deleting_a_link_to_a_folder_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    LocalFolder(tmp_path).delete("link")
    assert (tmp_path / "real" / "a").exists()
    assert not (tmp_path / "link").is_symlink()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="a file; a folder was expected"):
        check_readable(LocalFolder(tmp_path / "file"))


def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed" / "inner").mkdir(parents=True)
    (tmp_path / "closed").chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # root may read everything
            os.seteuid(65534)
        with pytest.raises(InputError, match="permission denied; make it readable"):
            check_readable(LocalFolder(tmp_path / "closed" / "inner"))
    finally:
        os.seteuid(user)
        (tmp_path / "closed").chmod(0o700)


# Addresses


@pytest.mark.parametrize(
    ("address", "remote"),
    [("data", False), ("/data", False), ("file:///data", False), ("a:b", False), ("s3://b", True), ("memory://", True)],
)
def test_an_address_is_local_or_remote(address: str, remote: bool) -> None:
    assert is_remote(address) is remote
    assert isinstance(open_folder(address), RemoteFolder) is remote


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    found = open_folder(tmp_path.as_uri())
    assert isinstance(found, LocalFolder)
    assert found.path == tmp_path


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(UsageError, match=r"nonsense://x: .* use a local path or an fsspec address"):
        open_folder("nonsense://x")


def test_a_protocol_whose_package_is_missing_says_how_to_get_it() -> None:
    script = (
        "import sys\n"
        "sys.modules['s3fs'] = None\n"
        "from phi3v_data.schema.errors import MissingDependencyError\n"
        "from phi3v_data.storage import open_folder\n"
        "try:\n"
        "    open_folder('s3://bucket/folder')\n"
        "except MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "pip install 'phi3v-data[s3]'" in ran.stdout


@given(name=st.text())
def test_names_that_some_file_system_takes_for_one_get_one_key(name: str) -> None:
    assert name_key(name) == name_key(name_key(name))
    assert name_key(name) == name_key(name.casefold())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a.avi", "A.AVI", True),
        ("\u00e9", "e\u0301", True),
        ("Straße", "STRASSE", True),
        ("a", "b", False),
        ("e", "é", False),
    ],
)
def test_the_key_folds_case_and_unicode_form(one: str, other: str, same: bool) -> None:
    assert (name_key(one) == name_key(other)) is same
