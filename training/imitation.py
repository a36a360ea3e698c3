"""Imitation of a teacher: as a term of meta-PPO's loss, and as a way to find rows without rewards.

A teacher is a function from observations to outputs, action logits or action means.
:class:`Imitation` draws meta-PPO's learners to a teacher beside the rewards (kickstarting: Schmitt
et al., "Kickstarting Deep Reinforcement Learning", arXiv 1803.03835).

:func:`imitate` finds rows from which one gradient step teaches a teacher's outputs in the states
that the teacher visits. The outer loop is that of Wilhelm & Ventura, arXiv 2508.09283, with
behavior cloning in place of PPO. It minimizes, over fresh learners after their step,

    mean |learner(state) - teacher(state)|^2 / mean |teacher(state)|^2
        + consistency * mean |learner(row) - target|^2 / mean |target|^2

With a dataset's own learners as teacher (:func:`refit`) it finds other rows for the same behavior,
which ordinary training can use too. Rows distilled by meta-PPO on continuous control teach by their
one step alone, since the learners' outputs at the rows after it are far from the targets. In
meta-PPO the consistency term would cost return there (Hopper 1,054 instead of 3,182); in imitation,
where the behavior is known, it costs little.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import kl_divergence
from tqdm import trange

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.real import env_spaces
from distilled_envs.errors import DivergedError, SettingsError
from distilled_envs.learners.actions import action_distribution
from distilled_envs.learners.one_step import inner_loss
from distilled_envs.learners.population import Population
from distilled_envs.learners.threads import torch_threads
from distilled_envs.spec import TaskSpec
from distilled_envs.training.batch import DistilledBatch
from distilled_envs.training.ppo import Steps
from distilled_envs.training.rollout import Actors
from distilled_envs.training.settings import ImitationSettings, dataset_name

TEACHERS = 32
"""Learners of the dataset; their mean output is the teacher's, and they visit the states."""
VISITED = 400
"""Environment steps in which each of them visits states."""
LEARNERS = 8
"""Fresh learners in one gradient step."""
STATES = 512
"""Visited states in one gradient step."""
STRETCH = 2.0
"""Factor on the visited states that rows start at."""

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


def refit(
    dataset: DistilledDataset,
    *,
    command: str | None = None,
    progress: bool = True,
    **settings: Any,
) -> DistilledDataset:
    """Other rows for a dataset's behavior: :func:`imitate` with the dataset itself as teacher.

    Args:
        dataset: The dataset.
        command: As in :func:`imitate`.
        progress: As in :func:`imitate`.
        **settings: Fields of :class:`~distilled_envs.training.settings.ImitationSettings`.
    """
    return imitate(dataset, ImitationSettings(**settings), command=command, progress=progress)


def imitate(
    teacher: DistilledDataset,
    settings: ImitationSettings | None = None,
    *,
    command: str | None = None,
    progress: bool = True,
) -> DistilledDataset:
    """Find rows that teach what a teacher answers, and that learners fit after their one step.

    Args:
        teacher: The dataset whose learners are the teacher.
        settings: How; see :class:`~distilled_envs.training.settings.ImitationSettings`.
        command: The shell command that asked for it, kept in the provenance.
        progress: Whether to show a progress bar.

    Returns:
        The new dataset, not evaluated yet. Its provenance is the teacher's, with a record
        ``refit`` of settings, time, and the two terms of the loss at the end: ``error`` in states
        and ``inconsistency`` at the rows.

    Raises:
        SettingsError: The teacher's rows are frames.
        DivergedError: The numbers are no longer finite.
    """
    settings = settings or ImitationSettings()
    instances, steps, learning_rate = settings.instances, settings.steps, settings.learning_rate
    started, spec = time.monotonic(), teacher.spec
    if spec.preprocessing is not None:
        raise SettingsError(
            f"{spec.name} has rows of frames, and imitation is for rows of numbers."
        )
    transform, shrink = spec.observation_transform, settings.shrink
    if transform is None:
        shrink = 1.0
    else:
        transform = dataclasses.replace(transform, scale=shrink * transform.scale)
    network, task = spec.learner, spec.task
    with torch.random.fork_rng(devices=[]), torch_threads(1):
        torch.manual_seed(settings.seed)
        # 1. The teacher visits states and answers there.
        teachers = teacher.new_learners(TEACHERS)
        states = _visited(teacher, teachers, settings.seed)
        answers = torch.cat([teachers(part).mean(0) for part in states.split(2_000)])
        size = answers.square().mean()
        # 2. Rows start at visited states and in random directions, with its outputs as targets.
        first = _first_rows(teacher, states, instances, settings.visited)
        # A shrunk transform has smaller bounds than those on file.
        spaces = env_spaces(spec.replace(observation_transform=transform, spaces=None))
        scale = shrink * first.square().mean().sqrt().item()
        batch = DistilledBatch(
            spaces.observation, instances, task.n_outputs, 1.0, scale=scale, bounded=True
        )
        batch.rows.data = shrink * first
        batch.project()
        batch.targets.data = teachers(batch.rows.data / shrink).mean(0)
        optimizer = torch.optim.Adam(batch.parameters(), learning_rate)
        bar = trange(steps, desc=f"{spec.name}: imitate", dynamic_ncols=True, disable=not progress)
        for step in bar:
            optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
            chosen = torch.randint(len(states), (STATES,))
            # 3. Fresh learners take their gradient step on the rows, and its graph is kept.
            fresh = Population.draw(network, task, LEARNERS)
            rows, targets, rate = batch.observations, batch.targets, batch.learning_rate
            learners = fresh.step(rows, targets, rate, keep_graph=True)
            # 4. Their error in states, against the teacher, and at the rows, against the targets.
            outputs = learners(shrink * states[chosen])
            error = inner_loss(outputs, answers[chosen]).mean() / size
            inconsistency = inner_loss(learners(rows), targets).mean() / targets.square().mean()
            # 5. Adam moves rows, targets and inner learning rate.
            optimizer.zero_grad()
            (error + settings.consistency * inconsistency).backward()
            optimizer.step()
            batch.project()
            bar.set_postfix_str(f"error {error:.4f}", refresh=False)
    if not batch.learning_rate.isfinite() or not error.isfinite():
        raise DivergedError(
            f"Imitation diverged: try a smaller learning rate (it was {learning_rate:g})."
        )
    record = {"command": command} | dataclasses.asdict(settings)
    record |= {
        "shrink": shrink,
        "error": round(error.item(), 5),
        "inconsistency": round(inconsistency.item(), 5),
        "wall_seconds": round(time.monotonic() - started, 1),
    }
    if "refit" in spec.provenance:
        record["before"] = spec.provenance["refit"]
    return DistilledDataset(
        batch.observations,
        batch.targets,
        spec.replace(
            name=dataset_name(spec.env.id, instances, spec.env.kwargs.get("dims")),
            families=(),
            observation_transform=transform,
            spaces=spaces,
            inner=dataclasses.replace(spec.inner, learning_rate=batch.learning_rate.item()),
            provenance=spec.provenance | {"refit": record},
            evaluation={},
            files={},
        ),
    )


def _visited(dataset: DistilledDataset, learners: Population, seed: int) -> Tensor:
    """States ``(n, n_inputs)`` that learners visit, each in an environment of its own."""
    env, log_std = dataset.make_vec_env(len(learners)), dataset.spec.task.target_log_std
    rollout = Actors(env, dataset.spec.task, seed).collect(
        lambda states: learners(states.unsqueeze(1)).squeeze(1),
        None if log_std is None else torch.tensor(log_std),
        VISITED,
    )
    env.close()
    return rollout.observations[:-1][rollout.valid.bool()]


def _first_rows(dataset: DistilledDataset, states: Tensor, instances: int, share: float) -> Tensor:
    """Where rows start ``(instances, n_inputs)``: at visited states, and in random directions.

    Visited states, larger by :data:`STRETCH`, show what a good policy sees. The others are
    orthogonal and as large as the dataset's rows, and show what it sees after a mistake.

    Args:
        dataset: The teacher.
        states: That it visits ``(n, n_inputs)``.
        instances: Rows.
        share: Of them that start at visited states.
    """
    met = round(share * instances)
    scale, n_inputs = dataset.observations.square().mean().sqrt(), states.shape[1]
    others = torch.empty(instances - met, n_inputs)
    if len(others):
        torch.nn.init.orthogonal_(others, scale * max(len(others), n_inputs) ** 0.5)
    return torch.cat([STRETCH * states[torch.randint(len(states), (met,))], others])
