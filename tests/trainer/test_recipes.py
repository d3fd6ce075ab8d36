"""Every recipe is the published run it names, but for the differences that it gives reasons for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from phi3v_data.cli.main import load_command
from phi3v_data.schema.dataset import Dataset, open_dataset
from phi3v_data.schema.errors import DatasetError, UsageError
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.record import Record, Turn
from phi3v_data.storage import LocalFolder
from phi3v_data.trainer.config import TrainConfig, make_config, setting_names
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.evaluation.result import Evaluation, Metric
from phi3v_data.trainer.recipe_results import collect_results
from phi3v_data.trainer.recipes import Recipe, load_recipe, recipe_names
from phi3v_data.trainer.train import train

# The defaults of the published scripts, for what a row's flags do not say.
DEFAULTS = {"--num_crops": "16", "--wd": "0.01", "--lora_rank": "64", "--lora_alpha_ratio": "2", "--lora_dropout": "0"}
# Set in the scripts' code.
FIXED = {"beta1": 0.9, "beta2": 0.95, "eps": 1e-7, "max_grad_norm": 1.0, "warmup_steps": 50}

recipes = pytest.mark.parametrize("recipe", [load_recipe(name) for name in recipe_names()], ids=lambda each: each.name)


def published_flags(recipe: Recipe) -> dict[str, str]:
    flags: dict[str, str] = dict(DEFAULTS)
    name = ""
    for word in recipe.published.flags.split():
        name, flags[word if word.startswith("--") else name] = (word, "") if word.startswith("--") else (name, word)
    return flags


def configured(recipe: Recipe) -> TrainConfig:
    return make_config(recipe.settings)


def test_every_row_of_the_published_tables_has_a_recipe() -> None:
    rows = {(recipe.task, recipe.strategy) for recipe in map(load_recipe, recipe_names())}
    strategies = ("full", "frozen-vision", "lora", "qlora")
    assert rows == {
        *(("NLVR2", strategy) for strategy in strategies[:2]),
        *((task, strategy) for task in ("DocVQA", "Hateful Memes") for strategy in strategies),
    }


@recipes
def test_a_recipe_has_the_numbers_of_its_published_flags(recipe: Recipe) -> None:
    flags, config = published_flags(recipe), configured(recipe)
    assert config.batch_size == int(flags["--batch_size"])
    assert config.epochs == int(flags["--num_train_epochs"])
    assert config.learning_rate == float(flags["--learning_rate"])
    assert config.data.num_crops == int(flags["--num_crops"])
    assert config.optimizer.weight_decay == float(flags["--wd"])
    assert {name: getattr(config.optimizer, name) for name in FIXED} == FIXED
    assert config.model.precision == ("bf16" if "--bf16" in flags else "fp16")
    assert config.model.precision in recipe.published.results


@recipes
def test_a_recipe_has_the_strategy_of_its_published_flags(recipe: Recipe) -> None:
    flags, config = published_flags(recipe), configured(recipe)
    adapters = "--use_lora" in flags or "--use_qlora" in flags
    expected = "qlora" if "--use_qlora" in flags else "lora" if adapters else "full"
    assert config.strategy == ("frozen-vision" if "--freeze_vision_model" in flags else expected)
    if adapters:
        assert config.lora.rank == int(flags["--lora_rank"])
        assert config.lora.alpha == round(config.lora.rank * float(flags["--lora_alpha_ratio"]))
        assert config.lora.dropout == float(flags["--lora_dropout"])


@recipes
def test_every_difference_is_about_a_setting_and_gives_a_reason(recipe: Recipe) -> None:
    names = {"data", *(part for name, _ in setting_names() for part in (name, name.partition(".")[0]))}
    assert set(recipe.differences) <= names
    assert all(len(why) > 40 for why in recipe.differences.values())
    assert "model.attention" in recipe.differences  # the published run needs the package flash-attn, ours does not


def test_an_unknown_recipe_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="no recipe 'docvqa-lorra'; did you mean 'docvqa-lora'"):
        load_recipe("docvqa-lorra")


def test_the_command_lists_all_and_shows_one() -> None:
    listed = CliRunner().invoke(load_command("recipes"), [])
    assert all(name in listed.output for name in recipe_names())
    shown = CliRunner().invoke(load_command("recipes"), ["docvqa-lora"]).output
    assert "phi3v-data train data/docvqa --recipe docvqa-lora" in shown
    assert "--use_lora --lora_rank 32" in shown
    listed = json.loads(CliRunner().invoke(load_command("recipes"), ["--json"]).output)["recipes"]
    assert [each["name"] for each in listed] == recipe_names()


PHI3V = "microsoft/Phi-3-vision-128k-instruct"


def finished_run(folder: Path, recipe: str | None, after: float, model: str = PHI3V) -> None:
    folder.mkdir(parents=True)
    config = {"recipe": recipe, "strategy": "lora", "model": {"name": model, "precision": "bf16"}}
    (folder / "run.json").write_text(json.dumps({"config": config}))
    for name, value in (("eval_before.json", 0.25), ("eval_after.json", after)):
        metric = Metric(value=value, count=4, low=value - 0.1, high=value + 0.1)
        evaluation = Evaluation(
            split="val",
            metrics={"recipe_anls": metric},
            primary="anls",
            correct=1,
            total=4,
            without_answer=0,
            answers=[],
        )
        (folder / name).write_bytes(evaluation.as_json())


def test_finished_runs_are_tabled_beside_the_published_results(tmp_path: Path) -> None:
    finished_run(tmp_path / "b", "docvqa-lora", 0.75)
    finished_run(tmp_path / "a", None, 0.5)
    (result,) = collect_results(tmp_path)
    assert (result.task, result.published) == ("DocVQA", 0.8246)
    assert result.before is not None
    assert result.after is not None
    assert (result.before.value, result.after.value) == (0.25, 0.75)
    table = CliRunner().invoke(load_command("recipes"), ["--results", str(tmp_path)]).output
    assert "0.250 (0.150-0.350)  0.750 (0.650-0.850)  0.8246" in table


def test_a_run_of_another_model_has_no_published_result_beside_it(tmp_path: Path) -> None:
    for name, model in (
        ("copy", "/models/Phi-3-vision-128k-instruct/"),
        ("other", "microsoft/Phi-3.5-vision-instruct"),
    ):
        finished_run(tmp_path / name, "docvqa-lora", 0.75, model)
    copy, other = collect_results(tmp_path)
    assert (copy.published, other.published) == (0.8246, None)
    table = CliRunner().invoke(load_command("recipes"), ["--results", str(tmp_path)]).output
    assert "Phi-3.5-vision-instruct" in table


def test_a_run_says_which_settings_hold_and_that_its_model_is_not_the_recipes(tmp_path: Path) -> None:
    write_records(
        LocalFolder(tmp_path), "x_train.jsonl", [Record(id="r", conversations=[Turn(user="?", assistant="a")])]
    )
    options = ["--recipe", "docvqa-lora", "--model", "tiny", "--out", str(tmp_path / "run"), "--no-validate"]
    done = CliRunner().invoke(load_command("train"), [str(tmp_path), *options])
    assert "\nstrategy: lora\n" in done.output
    assert "  rank: 32\n" in done.output
    assert f"recipe docvqa-lora is for {PHI3V}; its published result does not apply to tiny" in done.output


def test_a_folder_without_such_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no run that was started by"):
        collect_results(tmp_path)
    finished_run(tmp_path / "run", "docvqa-lora", 0.5)
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(DatasetError, match=r"run\.json: cannot be read"):
        collect_results(tmp_path)


KINDS = {"docvqa": [(170, 220)], "hateful_memes": [(120, 100)], "nlvr2": [(100, 80), (80, 100)]}


def dataset_of(recipe: Recipe, root: Path) -> Dataset:
    """Four records with images of the recipe's kind: a page, a meme, a pair."""
    records = []
    for number in range(4):
        names = [f"train/{number}-{which}.png" for which, _ in enumerate(KINDS[recipe.source])]
        for name, size in zip(names, KINDS[recipe.source], strict=True):
            path = root / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size, (60 * number, 90, 120)).save(path)
        turn = Turn(images=names, user="What is it?", assistant=f"answer {number}")
        records.append(Record(id=f"r-{number}", conversations=[turn]))
    write_records(LocalFolder(root), f"{recipe.source}_train.jsonl", records)
    return open_dataset(str(root))


@pytest.mark.slow
@recipes
def test_a_recipe_takes_two_steps_on_the_tiny_model(recipe: Recipe, tmp_path: Path) -> None:
    shrunken = {"model.name": "tiny", "batch_size": 2, "epochs": 1, "evaluation.enabled": False, "log_every": 1}
    # The tiny model's matrices have no rank of 128.
    ranks = {"lora.rank": 8, "lora.alpha": 8} if "lora.rank" in recipe.settings else {}
    config = make_config({**recipe.settings, **shrunken, **ranks, "recipe": recipe.name})
    train(config, [Source(dataset_of(recipe, tmp_path / "data"))], tmp_path / "run")
    steps = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert len(steps) == 2
    assert all(json.loads(step)["loss"] > 0 for step in steps)
    described = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (described["recipe"], described["strategy"]) == (recipe.name, recipe.strategy)
