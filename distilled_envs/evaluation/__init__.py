"""The evaluation protocol and its statistics."""

from distilled_envs.evaluation.protocol import (
    EVALUATION_SEED,
    Evaluation,
    EvaluationOptions,
    Score,
    evaluate,
    one_step_returns,
    pooled,
)

__all__ = [
    "EVALUATION_SEED",
    "Evaluation",
    "EvaluationOptions",
    "Score",
    "evaluate",
    "one_step_returns",
    "pooled",
]
