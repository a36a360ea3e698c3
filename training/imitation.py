"""Imitation of a teacher as a term of meta-PPO's loss.

Learners are drawn to a teacher beside the rewards (kickstarting: Schmitt et al., "Kickstarting Deep
Reinforcement Learning", arXiv 1803.03835). Rows from a teacher alone, without rewards, are made by
:mod:`.policy_distillation` and :mod:`.refitting`.
"""

from collections.abc import Callable

from torch import Tensor
from torch.distributions import kl_divergence

from distilled_envs.learners.actions import action_distribution
from distilled_envs.spec import TaskSpec
from distilled_envs.training.ppo import Steps

Teacher = Callable[[Tensor], Tensor]
"""From observations ``(n, *shape)`` to outputs ``(n, n_outputs)``: action logits or means."""


class Imitation:
    """KL divergence from a teacher's policy to the learners', as a term of meta-PPO's loss.

    Args:
        teacher: Whom to follow.
        task: How outputs become actions.
        weight: Of the term at the start; meta-PPO multiplies it with the share of the run that is
            still to come.
    """

    def __init__(self, teacher: Teacher, task: TaskSpec, weight: float = 1.0):
        self.teacher, self.task, self.weight = teacher, task, weight

    def __call__(self, outputs: Tensor, log_std: Tensor | None, steps: Steps) -> Tensor:
        """Divergence from the teacher's outputs in ``steps`` to learners' ``(L, n, n_outputs)``."""
        assert steps.advice is not None  # the rollout has asked the teacher
        return self.divergence(steps.advice, outputs, log_std, steps)

    def divergence(
        self, teacher: Tensor, learners: Tensor, log_std: Tensor | None, steps: Steps
    ) -> Tensor:
        """Mean KL divergence over valid steps, from a teacher's outputs to learners'.

        Both policies get the same standard deviations, without a gradient: how much to explore is
        learned from rewards alone.
        """
        std = None if log_std is None else log_std.detach()
        target = action_distribution(self.task, teacher, std)
        policy = action_distribution(self.task, learners, std)
        return (kl_divergence(target, policy) * steps.weights).sum()
