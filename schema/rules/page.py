"""The page on rules, made from the registry: `python -m phi3v_data.schema.rules.page > docs/rules.md`."""

from __future__ import annotations

from .registry import FAMILIES, all_rules

_HEAD = """# Rules

What `phi3v-data validate` looks for. `phi3v-data rules CODE` explains a rule in the terminal; how to select and ignore
rules is in [Validating](validate.md). An error makes a dataset unfit for training, a warning does not. The tests write
each example out and validate it.

This page is generated from the rules themselves: `python -m phi3v_data.schema.rules.page > docs/rules.md`.
"""


def rules_page() -> str:
    """Return the page in Markdown."""
    parts = [_HEAD, "| code | name | severity | level | fixable |", "| --- | --- | --- | --- | --- |"]
    rules = list(all_rules().values())
    for rule in rules:
        link = f"[{rule.code}](#{rule.code.lower()}-{rule.name})"
        parts.append(f"| {link} | {rule.name} | {rule.severity} | {rule.level} | {'yes' if rule.fixable else ''} |")
    for family in FAMILIES:
        parts += ["", f"## {family.letter}: {family.name}", "", f"{family.about[0].upper()}{family.about[1:]}."]
        for rule in rules:
            if rule.code[0] == family.letter:
                parts += ["", f"### {rule.code} {rule.name}", "", rule.sentence, "", rule.remedy, ""]
                parts += ["```", "found:", *(f"  {each}" for each in rule.example("bad").lines())]
                parts += ["not found:", *(f"  {each}" for each in rule.example("good").lines()), "```"]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    print(rules_page(), end="")  # noqa: T201 - this is what it is for
