"""Unpacking: what is in an honest archive comes out, and every trick of a dishonest one is refused by name."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phi3v_data.converters.input.archives import extract, is_archive_name
from phi3v_data.converters.input.hostile_archives import Limits
from phi3v_data.schema.errors import ConversionStopped, InputError

FILES = {"train/A/a.avi": b"first", "train/B/b b.avi": b"", "val/A/ü\n.avi": b"third" * 1000}


def tar(*members: tuple[str | tarfile.TarInfo, bytes], end: bool = True) -> bytes:
    """Write a tar member by member, exactly as told."""
    buffer = io.BytesIO()
    for name, data in members:
        info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
        info.size = len(data)
        buffer.write(info.tobuf(tarfile.PAX_FORMAT))
        buffer.write(data + b"\0" * (-len(data) % tarfile.BLOCKSIZE))
    return buffer.getvalue() + (b"\0" * 2 * tarfile.BLOCKSIZE if end else b"")


def typed(name: str, kind: bytes, linkname: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def tgz(*members: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    return gzip.compress(tar(*members), mtime=0)


def unix_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def unpack(data: bytes, folder: Path, limits: Limits | None = None) -> int:
    return extract(io.BytesIO(data), "given.archive", folder, limits)


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refusal(data: bytes, folder: Path, limits: Limits | None = None) -> str:
    with pytest.raises(InputError) as caught:
        unpack(data, folder, limits)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "A.ZIP"])
def test_archives_are_known_by_their_names(name: str) -> None:
    assert is_archive_name(name)


@pytest.mark.parametrize("name", ["a.rar", "a.tar.bz2", "tar", "a.gz", "a.avi"])
def test_nothing_else_is_taken_for_an_archive(name: str) -> None:
    assert not is_archive_name(name)


@pytest.mark.parametrize(
    "pack", [tar, lambda *members: gzip.compress(tar(*members)), zipped], ids=["tar", "tgz", "zip"]
)
def test_what_was_packed_comes_out(pack: Callable[..., bytes], tmp_path: Path) -> None:
    assert unpack(pack(*FILES.items()), tmp_path / "out") == len(FILES)
    assert files_below(tmp_path / "out") == FILES


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_every_form_come_out_with_long_names(form: int, tmp_path: Path) -> None:
    long = "/".join(["folder" * 10] * 3) + "/clip.avi"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("./train")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name in ("./train/a.avi", long):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
    assert unpack(buffer.getvalue(), tmp_path) == 2
    assert files_below(tmp_path) == {"train/a.avi": b"abc", long: b"abc"}


@pytest.mark.parametrize("pack", [tar, zipped])
def test_hidden_members_are_passed_over(pack: Callable[..., bytes], tmp_path: Path) -> None:
    hidden = ["._a.avi", "train/._a.avi", "train/.DS_Store", ".git/config", "__MACOSX/train/a.avi"]
    packed = pack(*[(name, b"junk" * 500) for name in hidden], ("train/a.avi", b"clip"))
    assert unpack(packed, tmp_path) == 1
    assert files_below(tmp_path) == {"train/a.avi": b"clip"}


@pytest.mark.parametrize("pack", [tar, zipped])
@pytest.mark.parametrize(
    "name",
    [
        "../a.avi",
        "train/../../a.avi",
        ".hidden/../../a.avi",
        "train/..",
        "/etc/a.avi",
        "C:/a.avi",
        "c:a.avi",
        "\\\\host\\share\\a.avi",
        "..\\a.avi",
        "train\\a.avi",
    ],
)
def test_a_member_that_would_leave_the_folder_is_refused(pack: Callable[..., bytes], name: str, tmp_path: Path) -> None:
    message = refusal(pack(("train/a.avi", b"1"), (name, b"2")), tmp_path / "out")
    assert repr(name) in message
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.avi"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.CHRTYPE, "is a device"),
        (tarfile.BLKTYPE, "is a device"),
        (tarfile.FIFOTYPE, "is a device, a pipe"),
    ],
)
def test_a_tar_member_that_is_not_a_file_is_refused(kind: bytes, reason: str, tmp_path: Path) -> None:
    message = refusal(tar((typed("train/x", kind, "/etc/passwd"), b"")), tmp_path)
    assert "'train/x'" in message
    assert reason in message
    assert list(tmp_path.iterdir()) == []


def test_a_sparse_file_is_refused_for_it_expands_out_of_nothing(tmp_path: Path) -> None:
    info = tarfile.TarInfo("train/a.avi")
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 40), "GNU.sparse.numblocks": "1"}
    assert "sparse" in refusal(tar((info, b"1")), tmp_path)


@pytest.mark.parametrize(
    ("mode", "reason"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "is a device"), (stat.S_IFBLK, "is a device")]
)
def test_a_zip_member_that_is_not_a_file_is_refused(mode: int, reason: str, tmp_path: Path) -> None:
    message = refusal(zipped((unix_mode("train/x", mode | 0o777), b"/etc/passwd")), tmp_path)
    assert "'train/x'" in message
    assert reason in message
    assert list(tmp_path.iterdir()) == []


def test_a_zip_member_with_a_password_is_refused(tmp_path: Path) -> None:
    packed = bytearray(zipped(("train/a.avi", b"1")))
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    packed[6] |= 1
    assert "is encrypted" in refusal(bytes(packed), tmp_path)


def test_a_zip_name_with_a_zero_byte_is_refused(tmp_path: Path) -> None:
    packed = zipped(("train/a.avi-x", b"1")).replace(b"a.avi-x", b"a.avi\0x")
    assert "zero byte" in refusal(packed, tmp_path)


@pytest.mark.parametrize("pack", [tar, zipped])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("train/a.avi", "train/a.avi"),
        ("train/a.avi", "./train//a.avi"),
        ("train/a.avi", "train/A.AVI"),
        ("train/a.avi", "Train/b.avi"),
        ("train/\u00e9.avi", "train/e\u0301.avi"),
        ("train/a", "train/a/b.avi"),
        ("train/a/b.avi", "train/a"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_takes_anothers_place_is_refused(
    pack: Callable[..., bytes], first: str, second: str, tmp_path: Path
) -> None:
    message = refusal(pack((first, b"1"), (second, b"2")), tmp_path)
    assert f"{second!a} takes the place of" in message


NAME = "Katze/\u732b \u00e4\u00f6.avi"


def zip_as_info_zip_writes(name: str, *, field: bool) -> bytes:
    """A zip of one file as `zip -r` writes it on Linux: UTF-8 without the flag, with or without the Unicode field."""
    raw = name.encode()
    extra = struct.pack("<HHBL", 0x7075, 5 + len(raw), 1, zlib.crc32(raw)) + raw if field else b""
    data = b"clip"
    sizes = struct.pack("<LLLHH", zlib.crc32(data), len(data), len(data), len(raw), len(extra))
    local = struct.pack("<4s5H", b"PK\3\4", 10, 0, 0, 0, 0x21) + sizes + raw + extra + data
    entry = struct.pack("<4s6H", b"PK\1\2", 0x31E, 10, 0, 0, 0, 0x21) + sizes
    entry += struct.pack("<3H2L", 0, 0, 0, 0o100644 << 16, 0) + raw + extra
    return local + entry + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)


@pytest.mark.parametrize("field", [True, False], ids=["unicode field", "bytes alone"])
def test_a_zip_with_utf8_names_but_no_flag_keeps_their_letters(field: bool, tmp_path: Path) -> None:
    unpack(zip_as_info_zip_writes(NAME, field=field), tmp_path)
    assert files_below(tmp_path) == {NAME: b"clip"}


def test_a_zip_with_names_of_code_page_437_keeps_their_letters(tmp_path: Path) -> None:
    raw = "\u00fcber.avi".encode("cp437")
    packed = bytearray(zipped(("\u00fcber.avi", b"clip")).replace("\u00fcber.avi".encode(), raw + b"i"))
    packed[7] &= ~8
    packed[packed.index(b"PK\1\2") + 9] &= ~8
    unpack(bytes(packed), tmp_path)
    assert list(files_below(tmp_path)) == ["\u00fcber.avii"]


def test_a_zip_whose_unicode_field_is_of_another_name_is_read_by_its_name(tmp_path: Path) -> None:
    packed = zip_as_info_zip_writes("\u00e4.avi", field=True)
    packed = packed.replace(struct.pack("<L", zlib.crc32("\u00e4.avi".encode())), b"1234")
    unpack(packed, tmp_path)
    assert list(files_below(tmp_path)) == ["\u00e4.avi"]


def test_a_unicode_field_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    packed = zip_as_info_zip_writes("\u00e4/../../a.avi", field=True)
    assert "leaves the folder" in refusal(packed, tmp_path / "out")


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_zip_of_any_compression_is_one_line(compression: int, tmp_path: Path) -> None:
    packed = bytearray(zipped(("a.avi", os.urandom(5000)), compression=compression))
    packed[60:200] = b"\xff" * 140
    assert "given.archive: damaged" in refusal(bytes(packed), tmp_path)


def test_a_refused_member_with_an_endless_name_is_one_short_line(tmp_path: Path) -> None:
    assert len(refusal(zipped(("../" + "x" * 60_000, b"1")), tmp_path)) < 500


@pytest.mark.parametrize("pack", [tar, zipped])
def test_empty_folders_come_out_too(pack: Callable[..., bytes], tmp_path: Path) -> None:
    folder = typed("train/Empty", tarfile.DIRTYPE) if pack is tar else "train/Empty/"
    assert unpack(pack((folder, b""), ("train/a.avi", b"1")), tmp_path) == 1
    assert (tmp_path / "train" / "Empty").is_dir()


def test_a_folder_may_be_named_twice(tmp_path: Path) -> None:
    folder = typed("train", tarfile.DIRTYPE)
    assert unpack(tar((folder, b""), ("train/a.avi", b"1"), (folder, b"")), tmp_path) == 1


ZEROS = b"\0" * 300_000


@pytest.mark.parametrize("pack", [tgz, zipped])
def test_an_archive_that_expands_too_far_for_its_size_is_refused(pack: Callable[..., bytes], tmp_path: Path) -> None:
    packed = pack(("a.avi", b"1"), ("bomb.avi", ZEROS))
    message = refusal(packed, tmp_path / "out", Limits(ratio=50, harmless=1000))
    assert "expands too far" in message
    assert "'bomb.avi'" in message
    assert unpack(packed, tmp_path / "trusted", Limits(ratio=50, harmless=1_000_000)) == 2
    assert unpack(packed, tmp_path / "plain") == 2


@pytest.mark.parametrize("pack", [tar, zipped])
def test_the_total_is_bounded_whatever_the_ratio(pack: Callable[..., bytes], tmp_path: Path) -> None:
    assert "expands too far" in refusal(pack(("a", ZEROS)), tmp_path, Limits(total=len(ZEROS) - 1, ratio=10**9))


@pytest.mark.parametrize("pack", [tar, zipped])
def test_the_number_of_members_is_bounded_hidden_ones_included(pack: Callable[..., bytes], tmp_path: Path) -> None:
    packed = pack(("a", b""), (".b", b""), ("c", b""))
    message = refusal(packed, tmp_path / "out", Limits(members=2))
    assert "too many members" in message
    assert "'c'" in message
    assert unpack(packed, tmp_path / "enough", Limits(members=3)) == 2


def test_a_bomb_in_what_is_passed_over_is_refused_too(tmp_path: Path) -> None:
    assert "expands too far" in refusal(tgz((".junk", ZEROS)), tmp_path, Limits(ratio=9, harmless=9))
    after_the_end = gzip.compress(tar(("a", b"1")) + ZEROS)
    assert "expands too far" in refusal(after_the_end, tmp_path, Limits(ratio=9, harmless=9))


def test_a_header_that_claims_to_be_huge_is_refused_before_it_is_read(tmp_path: Path) -> None:
    info = typed("x", tarfile.XHDTYPE)
    info.size = 1 << 32
    assert "header of more than" in refusal(info.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 1024, tmp_path)


def test_a_member_that_lies_in_front_of_its_header_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.avi")
    info.size = -tarfile.BLOCKSIZE
    assert "damaged" in refusal(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024, tmp_path)


def test_headers_that_follow_each_other_without_end_are_refused(tmp_path: Path) -> None:
    link = tar((typed("././@LongLink", tarfile.GNUTYPE_LONGNAME), b"a\0"), end=False)
    assert "damaged" in refusal(link * 5000 + tar(("a", b"1")), tmp_path)


def test_an_archive_goes_through_memory_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "large.tar"
    with path.open("wb") as stream:
        for number in range(8):
            stream.write(tar((f"{number}.avi", b"\1" * (8 << 20)), end=False))
        stream.write(b"\0" * 1024)
    tracemalloc.start()
    try:
        with path.open("rb") as archive:
            assert extract(archive, "large.tar", tmp_path / "out") == 8
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20


def test_headers_do_not_gather_in_memory(tmp_path: Path) -> None:
    packed = tar((".passed over", b""))[:512] * 5000 + b"\0" * 1024
    tracemalloc.start()
    try:
        assert unpack(packed, tmp_path) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


@pytest.mark.parametrize("cut", [0, 1, 100, 511, 512, 513, 600, 1024, 1536])
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["tar", "tgz"])
def test_a_tar_cut_off_anywhere_is_refused(compress: Callable[[bytes], bytes], cut: int, tmp_path: Path) -> None:
    whole = tar(("a.avi", b"1" * 600), ("b.avi", b""))
    assert len(whole) == 512 + 1024 + 512 + 1024
    assert "damaged, cut off" in refusal(compress(whole[:cut]), tmp_path)


@pytest.mark.parametrize("keep", [3, 0.2, 0.5, 0.99])
@pytest.mark.parametrize("pack", [tgz, zipped])
def test_a_compressed_archive_cut_off_anywhere_is_refused(
    pack: Callable[..., bytes], keep: float, tmp_path: Path
) -> None:
    packed = pack(("a.avi", os.urandom(5000)), ("b.avi", b"2"))
    length = keep if isinstance(keep, int) else int(len(packed) * keep)
    assert "damaged, cut off" in refusal(packed[:length], tmp_path)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    packed = bytearray(tar(("a.avi", b"1"), ("b.avi", b"")))
    packed[1024 + 20] ^= 1
    assert "damaged" in refusal(bytes(packed), tmp_path)


def test_what_lies_behind_the_end_is_not_lost_in_silence(tmp_path: Path) -> None:
    assert "more data after its end" in refusal(tar(("a", b"1")) + tar(("b", b"2")), tmp_path)


def test_a_flipped_bit_in_compressed_data_is_found(tmp_path: Path) -> None:
    for pack in (tgz, zipped):
        packed = bytearray(pack(("a.avi", os.urandom(5000))))
        packed[2000] ^= 4
        assert "damaged" in refusal(bytes(packed), tmp_path / pack.__name__)


def test_a_zip_packed_in_a_way_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    packed = bytearray(zipped(("a.avi", b"1")))
    packed[8] = packed[packed.index(b"PK\x01\x02") + 10] = 99
    assert "compression" in refusal(bytes(packed), tmp_path)


def test_a_zip_whose_directory_points_beyond_every_file_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.avi", b"1")
        archive.infolist()[0].header_offset = 1 << 63
    assert "damaged" in refusal(buffer.getvalue(), tmp_path)


@pytest.mark.parametrize("data", [b"", b"<!DOCTYPE html><html>log in</html>" * 40, b"Rar!\x1a\x07\x01\0" * 200, b"PK"])
def test_what_is_not_an_archive_is_refused(data: bytes, tmp_path: Path) -> None:
    assert "not an archive" in refusal(data, tmp_path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    packed=st.sampled_from([tar(*FILES.items()), tgz(*FILES.items()), zipped(*FILES.items())]),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 4000),
)
def test_whatever_is_wrong_the_answer_is_one_error_and_nothing_leaves_the_folder(
    packed: bytes, changes: list[tuple[int, int]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(packed)
    for place, value in changes:
        data[place % len(data)] = value
    folder = tmp_path_factory.mktemp("fuzz")
    message = ""
    try:
        unpack(bytes(data[: len(data) - cut]), folder / "inside" / "out")
    except InputError as error:
        message = str(error)
    assert "\n" not in message
    assert {path.name for path in folder.iterdir()} <= {"inside"}
    assert {path.name for path in (folder / "inside").glob("*")} <= {"out"}


def test_a_name_too_long_for_the_file_system_is_refused_by_name(tmp_path: Path) -> None:
    assert "file system does not take" in refusal(tar(("x" * 300, b"1")), tmp_path)


def test_no_permission_to_write_stops_the_conversion(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConversionStopped, match="cannot be unpacked into"):
        unpack(tar(("a", b"1")), tmp_path / "file" / "out")


def test_a_full_disk_stops_the_conversion(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits of POSIX systems")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ConversionStopped, match=r"cannot be unpacked into .* fix that and rerun"):
            unpack(tar(("a", b"1" * 2000)), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_archive_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(InputError, match="cannot be read"):
        extract(Failing(tar(("a", b"1"))), "given.tar", tmp_path)
