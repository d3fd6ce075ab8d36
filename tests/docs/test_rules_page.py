from __future__ import annotations

from pathlib import Path

from phi3v_data.schema.rules.page import rules_page

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_on_rules_is_that_of_the_registry() -> None:
    assert (DOCS / "rules.md").read_text(encoding="utf-8") == rules_page()
