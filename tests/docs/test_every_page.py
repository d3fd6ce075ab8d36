"""Nothing in README or docs is stale: links lead somewhere, and everything that exists is documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import click
import pytest
import yaml

from phi3v_data.cli.main import COMMANDS, load_command
from phi3v_data.cli.reference import reference
from phi3v_data.converters.registry import load_source, options_of, source_names
from phi3v_data.schema.rules.registry import all_rules
from phi3v_data.trainer.evaluation.scoring import METRICS
from phi3v_data.trainer.recipes import recipe_names

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*(path for path in ROOT.glob("*.md")), *DOCS.rglob("*.md")])
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]

# The options of the scripts that docs/migration.md replaces, as those scripts define them.
RECIPE_OPTIONS = (
    *("--model_name_or_path", "--data_dir", "--full_train", "--use_flash_attention", "--bf16", "--use_lora"),
    *("--use_qlora", "--output_dir", "--batch_size", "--batch_size_per_gpu", "--num_crops", "--num_train_epochs"),
    *("--learning_rate", "--wd", "--no-tqdm", "--lora_rank", "--lora_alpha_ratio", "--lora_dropout"),
    *("--freeze_vision_model", "--tmp_dir", "--out_dir"),
)


class Documented(NamedTuple):
    """What there is, and where each is documented: a page, and what stands there for a name."""

    names: list[str]
    page: str
    mark: str


def what_there_is() -> dict[str, Documented]:
    options = {
        option
        for name in COMMANDS
        for parameter in load_command(name).params
        if isinstance(parameter, click.Option)
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    return {
        "command": Documented(list(COMMANDS), "docs/cli.md", "\n## {}\n"),
        "option": Documented(sorted(options), "docs/cli.md", "{}"),
        "rule": Documented(sorted(all_rules()), "docs/rules.md", "\n### {} "),
        "recipe": Documented(recipe_names(), "docs/recipes.md", "`{}`"),
        "source": Documented(list(source_names()), "README.md", "(docs/sources/{}.md)"),
        "metric": Documented(list(METRICS), "docs/evaluation.md", "`{}`"),
        "recipe option": Documented(list(RECIPE_OPTIONS), "docs/migration.md", "{}"),
    }


def undocumented(what: Documented) -> list[str]:
    text = (ROOT / what.page).read_text()
    return [name for name in what.names if what.mark.format(name) not in text]


@pytest.mark.parametrize("kind", ["command", "option", "rule", "recipe", "source", "metric", "recipe option"])
def test_everything_there_is_is_documented(kind: str) -> None:
    what = what_there_is()[kind]
    assert what.names
    assert undocumented(what) == []
    planted = "--none-such" if "option" in kind else "none-such"
    assert undocumented(what._replace(names=[*what.names, planted])) == [planted]


@pytest.mark.parametrize("source", source_names())
def test_every_option_of_a_source_is_on_its_page_or_on_one_that_it_leads_to(source: str) -> None:
    page = DOCS / "sources" / f"{source}.md"
    text = page.read_text()
    linked = [page.parent / name for name in re.findall(r"\]\(([\w./-]+\.md)\)", text)]
    both = "\n".join([text, *(each.read_text() for each in linked)])
    options = [f"--{option.name.replace('_', '-')}" for option in options_of(load_source(source))]
    assert [option for option in options if option not in both] == []


def test_an_option_that_is_new_or_said_otherwise_makes_the_reference_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    command = load_command("report")
    monkeypatch.setattr(command, "params", [*command.params, click.Option(["--colour"], help="Of the pages.")])
    assert reference() != (DOCS / "cli.md").read_text()


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


def files_that_are_gone(text: str) -> list[str]:
    """Files that a page names, in full or below a package, and that are not there."""
    named = re.findall(r"`((?!\.)[\w.-]+/[\w./-]*)`", text)
    tops = [ROOT, ROOT / "converters", ROOT / "trainer"]
    return [name for name in named if not any((top / f"{name}{end}").exists() for top in tops for end in ("", ".py"))]


def test_the_files_that_the_page_on_architecture_names_are_there() -> None:
    text = (DOCS / "architecture.md").read_text()
    assert files_that_are_gone(text) == []
    assert files_that_are_gone(f"{text} `converters/none_such.py` `engine/none_such`") == [
        "converters/none_such.py",
        "engine/none_such",
    ]


def test_every_page_is_in_the_sites_navigation() -> None:
    def pages(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        children = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else []
        return [page for child in children for page in pages(child)]

    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
