"""Records are read the same, however they are cut into parts, packed or looked at: at a glance or one by one."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from validated import validated

from phi3v_data.schema.record import Record, Turn
from phi3v_data.schema.rules import lines, validate
from phi3v_data.schema.rules.lean import LeanRecord, LeanTurn
from phi3v_data.schema.rules.rule import Finding
from phi3v_data.schema.rules.scan import Scanner

LINES = [
    b'{"id":"a","source":"made","conversations":[{"images":["a/b.jpg"],"user":"What?","assistant":"This."}],"meta":{}}',
    '{"id": "b", "conversations": [{"user": "Où : \\"ça\\":", "assistant": "Là\\n", "answers": ["Là"]}]}'.encode(),
    b'{"id":"c","conversations":[{"user":"1","assistant":"2"},{"images":[],"user":"3","assistant":"4","supervised":false}]}',
    b'{"id":"d","conversations":[{"user":"Classes: a, b.","assistant":"a"}],"meta":{"group":"g1","label":"a"}}',
]


def findings(folder: Path, data: bytes, **options: Any) -> list[Finding]:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "x_train.jsonl").write_bytes(data)
    return validated(folder, level="records", **options)[0]


def placed(found: list[Finding]) -> list[tuple[str, int, str, str]]:
    return [(each.rule, each.line, each.id, each.message) for each in found]


def test_the_lean_record_has_the_records_fields() -> None:
    for lean, strict in ((LeanRecord, Record), (LeanTurn, Turn)):
        assert sorted(lean.__struct_fields__) == sorted(strict.__struct_fields__)


def mutated(seed: int) -> bytes:
    """Return some lines, with a few bytes of some of them changed as a careless hand or a fuzzer would."""
    dice = random.Random(seed)
    pieces = [
        b'"',
        b"\\",
        b"{",
        b"}",
        b":",
        b",",
        b" ",
        b"\xff",
        b"\x00",
        b"\n",
        b"<|end|>",
        b"../",
        b"//",
        b'"id":"a",',
    ]
    pieces += [b"\\ud800", b"[", b"null", b"\xef\xbb\xbf", "é".encode(), b'"images":["x"],', b"\t", b"\r", b'"meta":3,']
    data = bytearray(b"\n".join(dice.choices(LINES, k=dice.randint(1, 5))) + b"\n")
    for _ in range(dice.randint(0, 3)):
        at = dice.randrange(len(data))
        if dice.random() < 0.5:
            data[at : at + dice.randint(0, 4)] = dice.choice(pieces)
        else:
            data[at:at] = dice.choice(pieces)
    return bytes(data)


def one_by_one(self: Scanner, data: bytes, offset: int) -> bool:
    return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


def equal_at_a_glance_and_one_by_one(folder: Path, data: bytes) -> None:
    glanced = placed(findings(folder, data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scanner, "_many", one_by_one)
        assert placed(findings(folder, data)) == glanced, data


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_nothing_gets_past_the_glance_that_the_rules_find_one_by_one(folder: Path, seed: int) -> None:
    equal_at_a_glance_and_one_by_one(folder, mutated(seed))


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_the_size_of_a_part_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    data = b"\n\n".join(LINES[:2]) + b"\r\n" + b"not json\n" + LINES[2] + b"\n" + LINES[0]
    whole = placed(findings(tmp_path, data))
    assert [(each[0], each[1]) for each in whole] == [("R103", 4), ("R113", 6)]
    monkeypatch.setitem(validate._TASK, "records", size)
    assert placed(findings(tmp_path, data)) == whole


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_files_are_read_like_plain_ones(tmp_path: Path, suffix: str) -> None:
    pack: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}
    data = b"\n".join([*LINES, b"[]", LINES[0]]) + b"\n"
    expected = placed(findings(tmp_path / "plain", data))
    (tmp_path / f"x_train.jsonl{suffix}").write_bytes(pack[suffix](data))
    found = validated(tmp_path, level="records")[0]
    assert [each[:3] for each in placed(found)] == [each[:3] for each in expected]
    assert {each.file for each in found} == {f"x_train.jsonl{suffix}"}


def test_several_processes_find_what_one_finds(tmp_path: Path) -> None:
    data = b"\n".join(LINES * 3 + [b"{}"]) + b"\n"
    assert placed(findings(tmp_path, data, workers=2)) == placed(findings(tmp_path, data))


def test_a_line_that_is_longer_than_may_be_is_passed_over_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "_BLOCK", 1 << 12)
    data = LINES[0] + b"\n" + b'{"id": "' + b"x" * 100_000 + b'"}\n' + LINES[2] + b"\nnull\n"
    found = findings(tmp_path, data, longest_line=2000)
    assert [(each.rule, each.line) for each in found] == [("R104", 2), ("R105", 4)]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"[" * 100_000, "R103"),
        (b'{"a":' * 100_000, "R103"),
        (b'{"id":"a","conversations":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "R103"),
        (b"{" + b",".join(b'"k%d":1' % number for number in range(50_000)) + b"}", "R107"),
        (
            b'{"id":"a","conversations":[{"user":"","assistant":"x"}],"meta":{"group":'
            + b"[" * 5000
            + b"]" * 5000
            + b"}}",
            "",
        ),
    ],
)
def test_a_monstrous_line_is_a_finding(tmp_path: Path, line: bytes, rule: str) -> None:
    found = findings(tmp_path, LINES[0] + b"\n" + line + b"\n" + LINES[2] + b"\n")
    assert {each.line for each in found} == {2}
    if rule:
        assert rule in {each.rule for each in found}
    assert all(len(each.message) < 500 for each in found)


def test_each_fault_is_described_in_words(tmp_path: Path) -> None:
    data = "\n".join(
        [
            '{"id": "a", "conversation": [{"user": "What?", "assistant": "This."}]}',
            '{"id": "b", "conversations": [{"user": 3, "assistant": "This.", "images": ["a", 7]}]}',
            '{"id": "c", "conversations": ["hello"]}',
            '{"id": "d", "conversations": [{"user": "?", "assistant": "!", "answers": []}], "meta": 3}',
        ]
    )
    assert [(each.line, each.message) for each in findings(tmp_path, data.encode())] == [
        (1, "the record has no `conversations`; is it `conversation`?"),
        (1, "the record has the unknown key `conversation`; did you mean `conversations`?"),
        (2, "conversations[0].images[1]: expected `str`, got `int`"),
        (2, "conversations[0].user: expected `str`, got `int`"),
        (3, "conversations[0]: expected an object, got a string"),
        (4, "meta: expected `object`, got `int`"),
        (4, "conversations[0].answers: expected `array` of length >= 1"),
    ]


_MONSTROUS = """
import resource
from pathlib import Path
from validated import validated
folder = Path({folder!r})
limit = 1 << 30
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print([(each.rule, each.line) for each in validated(folder, level="records", ignore=["R114"])[0]])
"""


@pytest.mark.soak
def test_a_line_of_two_hundred_megabytes_and_one_of_a_million_keys_are_findings_in_bounded_memory(
    tmp_path: Path,
) -> None:
    with (tmp_path / "x_train.jsonl").open("wb") as stream:
        stream.write(LINES[0] + b'\n{"id":"')
        for _ in range(200):
            stream.write(b"x" * 1_000_000)
        stream.write(b'"}\n{' + b",".join(b'"k%d":1' % number for number in range(1_000_000)) + b"}\n" + LINES[2])
    support = str(Path(validated.__code__.co_filename).parent)
    environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{support}"}
    script = _MONSTROUS.format(folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "[('R104', 2), ('R106', 3), ('R106', 3), ('R107', 3)]\n", done.stderr


@pytest.mark.soak
def test_two_hundred_thousand_mutated_lines_end_in_findings(tmp_path: Path) -> None:
    """In batches, so that most of the time goes into the lines and not into opening a dataset."""
    for batch in range(20):
        data = b"".join(mutated(batch * 3500 + number) for number in range(3500))
        assert data.count(b"\n") > 10_000
        found = findings(tmp_path, data, ignore=["R113", "R114"])
        assert found
        assert json.dumps([each.message for each in found])
