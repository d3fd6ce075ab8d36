"""How good a model is on a split: every question answered, every answer scored.

::

    questions    records of a split     -> questions, in batches of similar length, a share a rank
    prefetch     questions              -> samples, their images decoded while the model works
    answering    a batch of questions   -> the most likely answers, and what the first token says of two labels
    losses       a batch of questions   -> how likely the records' own answers are
    journal      answers                -> a file a rank, so that a killed evaluation asks nothing twice
    metrics      answers                -> what each is worth: by comparison, ANLS, ROC AUC, consistency
    scoring      questions and answers  -> every metric, and a confusion matrix
    confidence   scores                 -> intervals by bootstrap, and two evaluations compared pair by pair
    result       all of it              -> `eval_<split>.json`
    periodic     a run that trains      -> evaluations every so many steps, the best model, an early end

`evaluate` is the one function that goes through all of them.
"""

from ..data.splits import evaluation_split
from .evaluate import check_evaluation, evaluate
from .result import Answer, Evaluation

__all__ = ["Answer", "Evaluation", "check_evaluation", "evaluate", "evaluation_split"]
