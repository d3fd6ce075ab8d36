"""Every rule finds its planted failure, nothing in the example without it, and nothing at all once its body is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from validated import found_in, validated

from phi3v_data.schema.errors import UsageError
from phi3v_data.schema.rules import registry
from phi3v_data.schema.rules.examples import Drawing, Example
from phi3v_data.schema.rules.registry import FAMILIES, all_rules, codes_for, find_rule

CODES = list(all_rules())


@pytest.mark.parametrize("code", CODES)
def test_a_rule_finds_its_planted_fault_and_nothing_in_the_example_without_it(code: str, tmp_path: Path) -> None:
    rule = all_rules()[code]
    assert code in found_in(rule.example("bad"), tmp_path / "bad")
    assert found_in(rule.example("good"), tmp_path / "good") == set()


def nothing(subject: object) -> Iterator[Any]:
    return iter(())


@pytest.mark.parametrize("code", CODES)
def test_the_fault_is_found_by_the_rules_own_body(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rules in registry.RULE_SETS:
        if code in rules.rules:
            monkeypatch.setitem(rules.rules, code, replace(rules.rules[code], check=nothing))
    assert code not in found_in(all_rules()[code].example("bad"), tmp_path)


def test_codes_and_names_are_one_of_a_kind_and_of_a_family() -> None:
    names = [rule.name for rule in all_rules().values()]
    assert len(set(names)) == len(names) == sum(len(rules.rules) for rules in registry.RULE_SETS)
    letters = {family.letter for family in FAMILIES}
    for code, rule in all_rules().items():
        assert re.fullmatch(r"[A-Z]\d{3}", code)
        assert code[0] in letters
        assert re.fullmatch(r"[a-z0-9-]+", rule.name)
        assert rule.sentence.endswith(".")
        assert rule.remedy.endswith(".")


def test_rules_are_found_by_code_name_and_beginning_of_a_code() -> None:
    assert find_rule("r101") is find_rule("not-utf8")
    assert codes_for("records", ["R101", "not-json"]) == {"R101", "R103"}
    assert codes_for("pixels", ["P"], ["P30"]) == frozenset()
    assert {code[0] for code in codes_for("records")} == {"R", "F", "T", "S", "D"}
    with pytest.raises(UsageError, match=r"no rule 'not-jsn'; did you mean not-json\?"):
        codes_for("files", ["not-jsn"])


def test_only_selected_rules_look(tmp_path: Path) -> None:
    find_rule("T401").example("bad").write(tmp_path)
    assert validated(tmp_path, select=["T402"])[0] == []


def test_an_example_is_described_line_by_line() -> None:
    drawn = Drawing("PNG", 8, 6, "L", seed=1, orientation=6, frames=2, cut=3, damaged=True, flat=True, text_lines=4)
    example = Example({"a.txt": "", "b.png": drawn, "c.txt": "x" * 400}, {"num_crops": 4}, {"d": "a.txt"})
    assert example.lines() == [
        "a.txt: empty",
        "b.png: another image: PNG, 8x6, L, one colour, EXIF orientation 6, 2 frames, the last 3 bytes are missing, "
        "some of its data is overwritten, 4 lines of text",
        f"c.txt: {'x' * 300} ...",
        "d: a link to a.txt",
        "validated with num_crops = 4",
    ]
