"""Counts and choices in messages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import phi3v_data
from phi3v_data.schema.wording import alternatives, counted, expected_choice

PACKAGE = Path(phi3v_data.__file__).parent
LAYERS = ("cli", "converters", "data_cards", "schema", "storage", "trainer")

# What messages count. A number in front of one of these is written by `counted`, which knows one from several.
COUNTED = {
    "adapters", "answers", "bytes", "cells", "clips", "columns", "cores", "crops", "datasets", "epochs", "errors",
    "evaluations", "failures", "files", "findings", "frames", "groups", "images", "items", "labels", "lines",
    "lists", "methods", "pairs", "processes", "prompts", "questions", "records", "rows", "runs", "samples",
    "shards", "splits", "steps", "tensors", "tokens", "turns", "values", "videos", "warnings", "words", "workers",
}  # fmt: skip

# Expressions that are never one, by where they stand: constants, sizes in the thousands, numbers over a limit.
NEVER_ONE = {
    ("cli/demo.py", "write_clips(clips)"): "sixty and more",
    ("cli/estimate.py", "capacity.micro_batch_tokens"): "thousands",
    ("cli/estimate.py", "record.tokens"): "more than --max-tokens",
    ("cli/export.py", "sum(sizes.values())"): "a model",
    ("cli/fixing.py", "len(datasets)"): "more than one",
    ("cli/push.py", "upload.largest_folder"): "more than the hub takes",
    ("cli/usage_line.py", "_help(error.ctx)"): "a command, which lists something",
    ("cli/report.py", "len(addresses)"): "more than one",
    ("converters/mapping/values.py", "len(texts)"): "told where one is expected",
    ("converters/video/container.py", "len(entries)"): "more than a file has bytes",
    ("converters/video/container.py", "stated"): "more than were decoded",
    ("data_cards/report/run_report.py", "len(names)"): "more than one",
    ("schema/dataset.py", "len(found)"): "more than one",
    ("schema/index/near_images.py", "looked"): "millions",
    ("schema/index/costs.py", "len(first)"): "told as the first of them",
    ("schema/rules/examples.py", "len(content)"): "examples of ours",
    ("schema/rules/examples.py", "self.frames"): "more than one",
    ("schema/rules/examples.py", "self.cut"): "examples of ours",
    ("schema/rules/examples.py", "self.text_lines"): "examples of ours",
    ("schema/rules/pixels.py", "len(images)"): "more than one",
    ("schema/rules/records.py", "line.too_long"): "millions",
    ("schema/rules/splits.py", "count"): "more than two",
    ("schema/rules/tokens.py", "cost.least"): "more than the model takes",
    ("schema/rules/tokens.py", "limits.num_crops"): "a setting, told as it was given",
    ("schema/select/splitting.py", "self.largest"): "more than one",
    ("schema/select/splitting.py", "float(worst)"): "a fraction",
    ("trainer/backends/__init__.py", "world"): "more than one",
    ("trainer/data/plan.py", "batch_size"): "below one",
    ("trainer/data/plan.py", "epochs"): "not a number of them",
    ("trainer/data/read_ahead.py", "others + shard.size"): "millions",
    ("trainer/data/shard_cache.py", "copied"): "told against another number",
    ("trainer/data/shard_cache.py", "size"): "millions",
    ("trainer/data/shard_cache.py", "header.size"): "told against another number",
    ("trainer/data/training_data.py", "longest"): "more than one image has",
    ("trainer/evaluation/evaluate.py", "processes.world"): "more than one",
    ("trainer/fit.py", "processes.world"): "more than one",
    ("trainer/fit.py", "budget.tokens"): "thousands",
    ("trainer/fit.py", "budget.crops"): "at least those of an image",
    ("trainer/phi3v/backbone.py", "len(image_token_indices)"): "as many as an image has",
    ("trainer/phi3v/generation.py", "self.config.original_max_position_embeddings"): "thousands",
    ("trainer/phi3v/generation.py", "length"): "thousands",
    ("trainer/phi3v/loading.py", "len(names)"): "more than one",
    ("trainer/phi3v/packing.py", "list(lengths)"): "a list",
    ("trainer/telemetry/telemetry.py", "report.images_per_second"): "a rate",
    ("trainer/telemetry/telemetry.py", "report.tokens_per_second"): "a rate",
}


def counts_in_messages() -> Iterator[tuple[str, str, str]]:
    """Every number of a message that stands before a noun in the plural: the file, the expression, the noun."""
    for path in sorted(each for layer in LAYERS for each in (PACKAGE / layer).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for number, text in pairwise(node.values) if isinstance(node, ast.JoinedStr) else ():
                if isinstance(number, ast.FormattedValue) and isinstance(text, ast.Constant):
                    noun = re.match(rf" (?:[a-z-]+ )?({'|'.join(sorted(COUNTED))})\b", str(text.value))
                    expression = ast.unparse(number.value)
                    if noun and not expression.isupper() and "counted(" not in expression:
                        yield path.relative_to(PACKAGE).as_posix(), expression, noun[1]


def test_a_number_before_a_plural_is_written_by_the_one_that_knows_one_from_several() -> None:
    found = {(file, expression): noun for file, expression, noun in counts_in_messages()}
    assert {place: noun for place, noun in found.items() if place not in NEVER_ONE} == {}
    assert set(NEVER_ONE) - set(found) == set(), "these are gone"


@pytest.mark.parametrize(("number", "said"), [(0, "0 items"), (1, "1 item"), (2, "2 items"), (12_345, "12,345 items")])
def test_only_one_is_singular(number: int, said: str) -> None:
    assert counted(number, "item") == said


def test_a_plural_of_its_own_is_taken() -> None:
    assert [counted(number, "child", "children") for number in (1, 2)] == ["1 child", "2 children"]


@pytest.mark.parametrize(("names", "said"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")])
def test_alternatives_are_listed_as_a_person_lists_them(names: list[str], said: str) -> None:
    assert alternatives(names) == said


def test_of_a_wrong_choice_the_nearest_is_named_where_one_is_near() -> None:
    choices = ("full", "lora", "qlora")
    assert expected_choice("loro", choices) == "expected full, lora or qlora; did you mean lora?"
    assert expected_choice("zzz", choices) == "expected full, lora or qlora"
