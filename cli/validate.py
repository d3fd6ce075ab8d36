"""`phi3v-data validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .engine_option import engine_option
from .fixing import FIX_OPTIONS, fix_all, fix_options
from .local_path import LocalPath
from .progress import show_progress

if TYPE_CHECKING:
    from ..schema.index import Counting
    from ..schema.rules.configuration import Configuration
    from ..schema.rules.reports import Format
    from ..schema.rules.rule import Finding
    from ..schema.rules.settings import Settings


def _words(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[str]:
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


@click.command("validate", short_help="Check datasets before anything is trained on them.")
@click.argument("data", nargs=-1)
@click.option(
    "--level",
    type=click.Choice(["records", "files", "pixels"]),
    help="How deep to look: the records alone, the header of every image, or all its pixels.  [default: files]",
)
@click.option(
    "--select", multiple=True, metavar="RULES", callback=_words, help="Look for these rules alone, such as R101, P, S6."
)
@click.option("--ignore", multiple=True, metavar="RULES", callback=_words, help="Leave these rules out.")
@click.option("--num-crops", type=click.IntRange(1), help="Largest number of crops of an image.  [default: 4]")
@click.option(
    "--max-tokens", type=click.IntRange(1), help="Longest record, in tokens.  [default: the model's context, 131072]"
)
@click.option(
    "--model",
    metavar="PATH",
    help="Count the tokens of texts, too, exactly: by this model's tokenizer. Without it, those of images alone.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github", "sarif"]),
    default="text",
    show_default=True,
    help="Format of the report.",
)
@click.option("--json", "as_json", is_flag=True, help="Short for --format json: an object a line.")
@click.option("--statistics", is_flag=True, help="Report only how often each rule found something.")
@click.option("--baseline", type=LocalPath(), help="Leave out what this report of --format json holds.")
@engine_option
@click.option("--workers", type=click.IntRange(1), help="Worker processes.  [default: one a core]")
@click.option("--adopt", is_flag=True, help="First bring dataset.json up to date with files that were edited by hand.")
@fix_options
@click.option("--quiet", "-q", is_flag=True, help="Show no progress, and of the text only the summary.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    data: tuple[str, ...],
    form: Format,
    as_json: bool,
    statistics: bool,
    baseline: Path | None,
    adopt: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Check datasets before anything is trained on them.

    DATA is a dataset folder, one split's JSONL (also .gz and .zst), a pattern of shards, or a folder of datasets; left
    out, every dataset under data/. Several are looked at together: what leaks from one into another is found. Exit code
    0: no errors, 1: findings of severity error, 2: could not run. `phi3v-data rules` explains each rule.
    """
    from ..schema.rules.adopt import adopt as adopt_files
    from ..schema.rules.baseline import Baseline
    from ..schema.rules.configuration import PathIgnores, find_configuration
    from ..schema.rules.reports import StatisticsReport, report_for
    from ..schema.rules.reports.base import full_path
    from ..schema.rules.targets import open_targets
    from ..schema.rules.validate import Validation

    configuration = find_configuration(Path.cwd())
    settings = _settings(configuration, options)
    ignored = PathIgnores(configuration.per_path_ignores)
    known = Baseline(baseline) if baseline is not None else None
    if adopt:
        for address, dataset in open_targets(data):
            for line in adopt_files(dataset):
                click.echo(f"{address}: {line}", err=True)
    fixing = {name: options.pop(name) for name in FIX_OPTIONS}
    if fixing["fix"]:
        targets = open_targets(data)
        data = fix_all(targets, settings, quiet, wanted=lambda each: not ignored(each, full_path(each)), **fixing)
    elif fixing["out"] or fixing["split_by"] or fixing["ratio"]:
        raise click.UsageError("--out, --split-by and --ratio say what --fix writes; give --fix, too")
    form = "json" if as_json else form
    only_counts = statistics or (quiet and form == "text")
    report = StatisticsReport(click.echo) if only_counts else report_for(form, click.echo)

    def wanted(finding: Finding) -> bool:
        return not ignored(finding, full_path(finding)) and not (known is not None and known.knows(finding))

    with show_progress(quiet) as progress:
        validation = Validation(open_targets(data), settings, progress)
        report.begin()
        for finding in validation.findings(wanted):
            report.add(finding)
    report.end(validation.summary)
    ctx.exit(1 if validation.summary.errors else 0)


def _settings(configuration: Configuration, options: dict[str, Any]) -> Settings:
    from ..schema.rules.registry import codes_for
    from ..schema.rules.settings import Limits, Settings

    level = options["level"] or configuration.level or "files"
    codes = codes_for(level, options["select"] or configuration.select, [*configuration.ignore, *options["ignore"]])
    limits = {
        name: options[name] or getattr(configuration, name)
        for name in ("num_crops", "max_tokens")
        if options[name] or getattr(configuration, name)
    }
    counting = _counting(options["model"]) if options["model"] else None
    return Settings(level, codes, Limits(**limits), options["workers"], counting, engine=options["engine"])


def _counting(model: str) -> Counting:
    from .settings import prepare_training_packages

    prepare_training_packages()
    from ..schema.index import Counting
    from ..trainer.config import make_config
    from ..trainer.model_folder import load_run_processor

    return Counting.of(load_run_processor(make_config({"model.name": model})))
