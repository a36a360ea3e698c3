"""The evaluation protocol and its statistics."""

from distilled_envs.evaluation.protocol import (
    EVALUATION_SEED,
    EvaluationOptions,
    evaluate,
    one_step_returns,
    pooled,
)
from distilled_envs.evaluation.scores import Evaluation, Score

__all__ = [
    "EVALUATION_SEED",
    "Evaluation",
    "EvaluationOptions",
    "Score",
    "evaluate",
    "one_step_returns",
    "pooled",
]
