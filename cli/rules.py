"""`phi3v-data rules`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .json_result import json_option, print_json

if TYPE_CHECKING:
    from ..schema.rules.rule import Rule


@click.command("rules", short_help="List the validator's rules, or explain one.")
@click.argument("code", required=False)
@json_option
def command(code: str | None, as_json: bool) -> None:
    """List the validator's rules, or explain one with its examples.

    CODE is a rule's code or name, such as P301 or truncated-image.
    """
    from ..schema.rules.registry import FAMILIES, all_rules, find_rule

    rules = [find_rule(code)] if code else list(all_rules().values())
    if as_json:
        print_json({"rules": [_described(rule) for rule in rules]})
        return
    if code:
        click.echo("\n".join(explained(rules[0])))
        return
    for family in FAMILIES:
        click.echo(f"{family.letter}  {family.name}: {family.about}")
        for rule in rules:
            if rule.code[0] == family.letter:
                line = f"  {rule.code}  {rule.name:<24} {rule.severity:<8} {rule.level:<8}"
                click.echo(f"{line}{'fixable' if rule.fixable else ''}".rstrip())


def explained(rule: Rule[Any, Any]) -> list[str]:
    """Return the lines that explain a rule."""
    fixable = ", fixable" if rule.fixable else ""
    return [
        f"{rule.code} {rule.name} ({rule.severity}, from level {rule.level} on{fixable})",
        rule.sentence,
        f"What to do: {rule.remedy}",
        "Found:",
        *(f"  {each}" for each in rule.example("bad").lines()),
        "Not found:",
        *(f"  {each}" for each in rule.example("good").lines()),
    ]


def _described(rule: Rule[Any, Any]) -> dict[str, Any]:
    return {
        "code": rule.code,
        "name": rule.name,
        "sentence": rule.sentence,
        "remedy": rule.remedy,
        "severity": rule.severity,
        "level": rule.level,
        "fixable": rule.fixable,
        "bad": rule.example("bad").lines(),
        "good": rule.example("good").lines(),
    }
