"""Families of networks, by name: how they are drawn, and what they make of a hidden layer."""

import dataclasses
from typing import Any

from distilled_envs.spec import InitializationSpec, LearnerSpec

FAMILIES: dict[str, dict[str, Any]] = {
    "orthogonal": {"initialization": InitializationSpec()},
    "gains-1": {"initialization": InitializationSpec(hidden_gain=1.0, output_gain=1.0)},
    "xavier": {"initialization": InitializationSpec("xavier")},
    "pytorch": {"initialization": InitializationSpec("pytorch")},
    "relu": {"initialization": InitializationSpec(), "activation": "relu"},
}
"""What of a :class:`~distilled_envs.spec.LearnerSpec` each family fixes; layers are anybody's."""


def of_family(learner: LearnerSpec, family: str) -> LearnerSpec:
    """A network with the layers of ``learner``, of another family.

    >>> of_family(LearnerSpec(), "pytorch").initialization.kind
    'pytorch'
    """
    return dataclasses.replace(learner, **FAMILIES[family])
