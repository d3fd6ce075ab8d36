"""Which numbers an evaluation holds, and what they are, without a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from phi3v_data.schema.errors import DatasetError, UsageError
from phi3v_data.trainer.config import EvaluationConfig
from phi3v_data.trainer.evaluation.comparison import compare
from phi3v_data.trainer.evaluation.losses import TurnLoss
from phi3v_data.trainer.evaluation.questions import Question
from phi3v_data.trainer.evaluation.result import Evaluation, read_evaluation
from phi3v_data.trainer.evaluation.scoring import labels_of, score_answer, scored


def question(number: int, expected: str, *more: str, **known: Any) -> Question:
    accepted = (*((expected,) if expected else ()), *more)
    defaults: dict[str, Any] = {
        "group": str(number),
        "pair": "",
        "sentence": "",
        "has_label": False,
        "is_supervised": bool(expected),
    }
    return Question(
        record=number,
        turn=0,
        id=f"r-{number}",
        expected=expected,
        accepted=accepted,
        images=0,
        **{**defaults, "is_supervised": bool(expected), **known},
    )


def evaluation(
    asked: Sequence[Question], given: Sequence[str], positive: Sequence[float | None] = (), **settings: Any
) -> Evaluation:
    chances = positive or [None] * len(asked)
    answers = [score_answer(*each) for each in zip(asked, given, chances, strict=True)]
    return scored("val", asked, answers, EvaluationConfig(**settings))


def test_accuracy_is_the_share_of_answers_that_can_be_compared() -> None:
    asked = [question(0, "red"), question(1, "blue"), question(2, ""), question(3, "", "red", "crimson")]
    found = evaluation(asked, ["red"] * 4, resamples=0)
    assert [answer.correct for answer in found.answers] == [True, False, None, True]
    assert (found.correct, found.total, found.without_answer, found.accuracy) == (2, 3, 1, 2 / 3)
    assert found.summary().startswith("accuracy 0.667 on val, 2 of 3 correct, anls ")
    assert found.summary().endswith("without an answer to compare with on val: 1")


def test_a_split_without_any_answer_has_predictions_and_no_metric() -> None:
    found = evaluation([question(n, "") for n in range(2)], ["red", "blue"])
    assert (found.metrics, found.primary, found.accuracy, found.total) == ({}, None, None, 0)
    assert [answer["given"] for answer in json.loads(found.as_json())["answers"]] == ["red", "blue"]
    assert found.summary() == "without an answer to compare with on val: 2"


def test_a_pair_is_consistent_only_if_every_answer_about_it_is_correct() -> None:
    labels = {"a": ["yes", "yes"], "b": ["yes", "no"], "c": ["no"], "d": ["yes", ""]}
    asked = [question(n, label, pair=pair) for pair, of_pair in labels.items() for n, label in enumerate(of_pair)]
    found = evaluation(asked, ["yes"] * len(asked))
    assert found.value("consistency") == 2 / 4
    assert found.value("sentence_consistency") is None


def test_a_sentence_is_consistent_if_it_is_correct_of_every_pair() -> None:
    asked = [
        question(n, label, sentence=sentence)
        for n, (sentence, label) in enumerate(
            [("8-0", "yes"), ("8-0", "yes"), ("8-1", "yes"), ("8-1", "no"), ("9", "yes")]
        )
    ]
    assert evaluation(asked, ["yes"] * 5).value("sentence_consistency") == 2 / 3


def test_anls_is_computed_where_turns_have_several_answers_and_chooses_checkpoints_there() -> None:
    found = evaluation([question(0, "ITC Limited", "itc"), question(1, "9", "nine")], ["itc limited", "eight"])
    assert (found.value("anls"), found.value("recipe_anls")) == pytest.approx((0.5, 7 / 22))
    assert found.primary == "anls"
    assert evaluation([question(0, "red")], ["red"]).primary == "accuracy"


def test_roc_auc_ranks_by_the_positive_label() -> None:
    asked = [question(n, label) for n, label in enumerate(["no", "yes", "yes", "no"])]
    found = evaluation(asked, ["yes"] * 4, [0.1, 0.9, 0.4, 0.6])
    assert (found.value("roc_auc"), found.positive_label) == (3 / 4, "yes")
    opposite = evaluation(asked, ["yes"] * 4, [0.1, 0.9, 0.4, 0.6], positive_label="no")
    assert (opposite.value("roc_auc"), opposite.positive_label) == (1 / 4, "no")


@pytest.mark.parametrize(
    ("answers", "positive", "expected"),
    [
        (["True", "False", "true."], None, ("False", "true.")),
        (["dog", "cat"], None, ("cat", "dog")),
        (["dog", "cat"], "Cat", ("dog", "cat")),
        (["dog", "cat", "cow"], None, None),
        (["dog"], None, None),
    ],
)
def test_two_different_answers_are_a_pair_of_labels(
    answers: list[str], positive: str | None, expected: tuple[str, str] | None
) -> None:
    assert labels_of([question(n, answer) for n, answer in enumerate(answers)], positive) == expected


def test_a_positive_label_that_is_no_answer_is_refused() -> None:
    with pytest.raises(UsageError, match="positive_label=cow: no such answer; the answers are cat and dog"):
        labels_of([question(0, "dog"), question(1, "cat")], "cow")


def test_classes_are_tabled_labels_against_answers() -> None:
    asked = [question(n, label, has_label=True) for n, label in enumerate(["Run", "Run", "Walk", "Swim"])]
    classes = evaluation(asked, ["run", "walk", "walk", "flying"]).classes
    assert classes is not None
    assert classes.labels == ["Run", "Swim", "Walk"]
    assert classes.matrix == [[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    assert classes.precision == [1.0, None, 0.5]
    assert classes.recall == [0.5, 0.0, 1.0]
    assert classes.f1 == pytest.approx([2 / 3, 0.0, 2 / 3])


def test_free_text_has_no_classes() -> None:
    assert evaluation([question(n, f"answer {n}") for n in range(6)], ["?"] * 6).classes is None


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("bleu", "no metric 'bleu'; there are: accuracy, anls"),
        ("loss", "loss needs supervised turns, which split val does not have"),
        ("accuracy,anls", "anls needs turns with several acceptable `answers`, which split val does not have"),
        ("roc_auc", "roc_auc needs exactly two different answers"),
        ("consistency", "consistency needs records with `meta.pair`"),
    ],
)
def test_a_metric_that_the_data_does_not_allow_is_refused_by_name(metrics: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluation([question(0, "red", is_supervised=False)], ["red"], metrics=metrics)


def test_the_loss_is_a_mean_over_tokens_with_its_interval() -> None:
    asked = [question(n, "red") for n in range(3)]
    losses = [TurnLoss(1.0, 1), TurnLoss(6.0, 3), TurnLoss()]
    answers = [score_answer(each, "red", None, loss) for each, loss in zip(asked, losses, strict=True)]
    found = scored("val", asked, answers, EvaluationConfig())
    metric = found.metrics["loss"]
    assert (metric.value, metric.count) == (7 / 4, 4)
    assert (metric.low, metric.high) == (1.0, 2.0)
    assert found.primary == "accuracy"
    assert "loss" not in scored("val", asked, answers, EvaluationConfig(metrics="accuracy")).metrics


def test_the_metric_that_checkpoints_are_chosen_by_is_computed_whatever_else_is_asked_for() -> None:
    asked = [question(0, "red", "crimson")]
    found = evaluation(asked, ["red"], metrics="accuracy", primary="anls")
    assert (set(found.metrics), found.primary) == ({"accuracy", "anls"}, "anls")


def test_only_the_metrics_asked_for_are_computed() -> None:
    asked = [question(n, "red", pair="p") for n in range(2)]
    assert list(evaluation(asked, ["red"] * 2, metrics="consistency").metrics) == ["consistency"]


def test_a_comparison_names_what_was_fixed_and_what_was_broken() -> None:
    asked = [question(n, "red", "crimson") for n in range(4)]
    before = evaluation(asked, ["red", "blue", "blue", "blue"])
    after = evaluation(asked, ["blue", "red", "red", "blue"])
    found = compare(before, after)
    assert (found.questions, found.fixed, found.broken) == (4, [("r-1", 0), ("r-2", 0)], [("r-0", 0)])
    assert found.differences["accuracy"].value == 1 / 4
    assert found.differences["anls"].value == 1 / 4
    assert "accuracy +0.250" in found.summary()
    assert "2 fixed, 1 broken" in found.summary()


def test_evaluations_of_different_questions_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match="share no answered question"):
        compare(evaluation([question(0, "red")], ["red"]), evaluation([question(1, "red")], ["red"]))


def test_an_evaluation_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = evaluation([question(n, label) for n, label in enumerate(["no", "yes"])], ["yes"] * 2, [0.1, 0.9])
    (tmp_path / "eval.json").write_bytes(found.as_json())
    assert read_evaluation(tmp_path / "eval.json") == found
    (tmp_path / "eval.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"eval\.json: not an evaluation"):
        read_evaluation(tmp_path / "eval.json")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_evaluation(tmp_path / "none.json")
