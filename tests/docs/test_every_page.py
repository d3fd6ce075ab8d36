"""Nothing in README or docs is stale: commands parse, links lead somewhere, everything that exists is documented."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from pages import blocks

from phi3v_data.cli.main import COMMANDS, load_command
from phi3v_data.cli.reference import reference
from phi3v_data.converters.registry import source_names
from phi3v_data.trainer.config import make_config
from phi3v_data.trainer.evaluation.scoring import METRICS
from phi3v_data.trainer.recipes import load_recipe, recipe_names

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*(path for path in ROOT.glob("*.md")), *DOCS.rglob("*.md")])
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
# The commands of these are run, not only parsed, by tests of their own.
RUN = {"docs/converters.md", *(name for name in NAMES if name.startswith("docs/sources/"))}


def commands_of(page: Path) -> list[list[str]]:
    """Every call of our command line in a page's console blocks, as its arguments."""
    lines = [line for block in blocks(page) if block.info == "console" for line in block.text.splitlines()]
    found = []
    for line in lines:
        words = shlex.split(line.removeprefix("$ "), comments=True) if line.startswith("$ ") else []
        if "phi3v_data.cli" in words:
            words = ["phi3v-data", *words[words.index("phi3v_data.cli") + 1 :]]
        if words and words[0] == "phi3v-data" and words[1] not in ("COMMAND", "--help", "--version"):
            found.append(words[1:])
    return found


@pytest.mark.parametrize("name", sorted(set(NAMES) - RUN))
def test_commands_parse(name: str) -> None:
    for command, *arguments in commands_of(ROOT / name):
        assert command in COMMANDS, command
        if "--help" in arguments:
            continue
        parsed = load_command(command).make_context(command, arguments).params
        if command in ("train", "evaluate", "estimate"):
            make_config(dict(pair.split("=", 1) for pair in parsed["settings"]))
        if parsed.get("recipe"):
            load_recipe(parsed["recipe"])


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


def test_the_reference_is_that_of_the_commands() -> None:
    assert (DOCS / "cli.md").read_text() == reference(), "python -m phi3v_data.cli.reference > docs/cli.md"


def test_every_page_is_in_the_sites_navigation() -> None:
    def pages(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        children = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else []
        return [page for child in children for page in pages(child)]

    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_every_source_recipe_and_metric_is_documented() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert [name for name in source_names() if not (DOCS / "sources" / f"{name}.md").exists()] == []
    assert [name for name in recipe_names() if f"`{name}`" not in text] == []
    assert [name for name in METRICS if name not in text] == []
