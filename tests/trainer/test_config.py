from __future__ import annotations

import msgspec
import pytest

from phi3v_data.schema.errors import UsageError
from phi3v_data.trainer.config import TrainConfig, make_config, setting_names


def test_dotted_names_reach_every_level_and_text_is_read_as_the_fields_type() -> None:
    config = make_config({"optimizer.lr": "1e-4", "epochs": "2.5", "model.gradient_checkpointing": "0", "seed": 3})
    assert (config.optimizer.lr, config.epochs, config.model.gradient_checkpointing, config.seed) == (
        1e-4,
        2.5,
        False,
        3,
    )


def test_what_is_not_named_keeps_its_default() -> None:
    assert make_config({}) == TrainConfig()


@pytest.mark.parametrize(("strategy", "rate"), [("full", 1e-5), ("lora", 2e-4)])
def test_each_strategy_has_its_own_learning_rate_unless_one_is_given(strategy: str, rate: float) -> None:
    assert make_config({"strategy": strategy}).learning_rate == rate
    assert make_config({"strategy": strategy, "optimizer.lr": 0.5}).learning_rate == 0.5


def test_an_unknown_setting_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(UsageError, match=r"no setting 'optimiser\.lr'; did you mean 'optimizer\.lr'\?"):
        make_config({"optimiser.lr": 1})


@pytest.mark.parametrize(
    ("setting", "value"),
    [("epochs", 0), ("optimizer.lr", -1), ("batch_size", "many"), ("strategy", "half"), ("lora.dropout", 1)],
)
def test_a_value_out_of_its_bounds_is_refused_by_name(setting: str, value: object) -> None:
    with pytest.raises(UsageError, match=setting.rpartition(".")[2]):
        make_config({setting: value})


@pytest.mark.parametrize(("given", "expected"), [("auto", "auto"), ("4096", 4096), (8192, 8192)])
def test_a_micro_batch_holds_a_number_of_tokens_or_as_many_as_fit(given: object, expected: object) -> None:
    assert make_config({"micro_batch_tokens": given}).micro_batch_tokens == expected
    with pytest.raises(UsageError, match="micro_batch_tokens"):
        make_config({"micro_batch_tokens": "many"})


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, help_text in setting_names() if not help_text] == []


def test_a_configuration_written_to_json_is_read_back_equal() -> None:
    config = make_config({"lora.rank": 8, "data.num_crops": 2})
    assert msgspec.json.decode(msgspec.json.encode(config), type=TrainConfig) == config


def test_a_configuration_written_to_json_states_every_setting_defaults_too() -> None:
    tree = msgspec.json.decode(msgspec.json.encode(make_config({"model.name": "tiny"})))
    for name, _ in setting_names():
        node = tree
        for part in name.split("."):
            node = node[part]
