"""The evaluation protocol and its statistics."""

from distilled_envs.evaluation.protocol import (
    EVALUATION_SEED,
    Evaluation,
    EvaluationOptions,
    Score,
    evaluate,
    pooled,
)

__all__ = ["EVALUATION_SEED", "Evaluation", "EvaluationOptions", "Score", "evaluate", "pooled"]
