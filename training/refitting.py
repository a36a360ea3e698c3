"""Rows that teach a known behavior, learned without rewards.

:func:`learn_rows` finds rows from which one gradient step teaches a teacher's outputs in the states
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

import contextlib
import dataclasses
import time
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from distilled_envs.bars import trange
from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.real import env_spaces
from distilled_envs.errors import DivergedError, SettingsError
from distilled_envs.learners.actions import log_deviations
from distilled_envs.learners.expansion import mean_answers
from distilled_envs.learners.one_step import inner_loss
from distilled_envs.learners.population import Population
from distilled_envs.learners.threads import torch_threads
from distilled_envs.spec import LearnerSpec, TaskSpec
from distilled_envs.training.batch import DistilledBatch
from distilled_envs.training.imitation import Teacher
from distilled_envs.training.imitation_settings import RefitSettings
from distilled_envs.training.rollout import Actors
from distilled_envs.training.settings import dataset_name

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


@dataclasses.dataclass(frozen=True)
class LearnedRows:
    """What :func:`learn_rows` found.

    Attributes:
        observations: ``(k, n_inputs)``.
        targets: ``(k, n_outputs)``.
        learning_rate: Of the one step.
        error: In states, the first term of the loss at the end.
        inconsistency: At the rows, the second term without its weight.
    """

    observations: Tensor
    targets: Tensor
    learning_rate: float
    error: float
    inconsistency: float


def learn_rows(
    states: Tensor,
    answers: Tensor,
    first: Tensor,
    teacher: Teacher,
    network: LearnerSpec,
    space: spaces.Box,
    settings: RefitSettings,
    *,
    name: str,
    progress: bool,
) -> LearnedRows:
    """Rows from which one step teaches a teacher's answers.

    Args:
        states: What learners see ``(n, n_inputs)``.
        answers: The teacher's there ``(n, n_outputs)``.
        first: Where rows start ``(k, n_inputs)``.
        teacher: Gives the targets that they start with.
        network: The learners.
        space: Of the rows.
        settings: How.
        name: For the bar.
        progress: Whether to show one.

    Raises:
        DivergedError: The numbers are no longer finite.
    """
    steps, learning_rate, size = settings.steps, settings.learning_rate, answers.square().mean()
    task = TaskSpec("gaussian", tuple(states.shape[1:]), answers.shape[1])
    scale = first.square().mean().sqrt().item()
    batch = DistilledBatch(space, len(first), task.n_outputs, 1.0, scale=scale, bounded=True)
    batch.rows.data = first
    batch.project()
    batch.targets.data = teacher(batch.rows.data)
    optimizer = torch.optim.Adam(batch.parameters(), learning_rate)
    bar = trange(steps, desc=f"{name}: imitate", dynamic_ncols=True, disable=not progress)
    for step in bar:
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
        chosen = torch.randint(len(states), (STATES,))
        # 1. Fresh learners take their gradient step on the rows, and its graph is kept.
        fresh = Population.draw(network, task, LEARNERS)
        rows, targets, rate = batch.observations, batch.targets, batch.learning_rate
        learners = fresh.step(rows, targets, rate, keep_graph=True)
        # 2. Their error in states, against the teacher, and at the rows, against the targets.
        error = inner_loss(learners(states[chosen]), answers[chosen]).mean() / size
        inconsistency = inner_loss(learners(rows), targets).mean() / targets.square().mean()
        # 3. Adam moves rows, targets and inner learning rate.
        optimizer.zero_grad()
        (error + settings.consistency * inconsistency).backward()
        optimizer.step()
        batch.project()
        bar.set_postfix_str(f"error {error:.4f}", refresh=False)
    if not batch.learning_rate.isfinite() or not error.isfinite():
        raise DivergedError(
            f"Imitation diverged: try a smaller learning rate (it was {learning_rate:g})."
        )
    return LearnedRows(
        batch.observations.detach(),
        batch.targets.detach(),
        batch.learning_rate.item(),
        error.item(),
        inconsistency.item(),
    )


def refit(
    dataset: DistilledDataset,
    *,
    command: str | None = None,
    progress: bool = True,
    **changes: Any,
) -> DistilledDataset:
    """Find other rows that teach what a dataset's learners do, and that learners fit afterwards.

    Args:
        dataset: Its learners are the teacher.
        command: The shell command that asked for it, kept in the provenance.
        progress: Whether to show a progress bar.
        **changes: Fields of :class:`~distilled_envs.training.imitation_settings.RefitSettings`.

    Returns:
        The new dataset, not evaluated yet. Its provenance is the old one's, with a record
        ``refit`` of settings, time, and the two terms of the loss at the end: ``error`` in states
        and ``inconsistency`` at the rows.

    Raises:
        SettingsError: The dataset's rows are frames.
        DivergedError: The numbers are no longer finite.
    """
    settings = RefitSettings(**changes)
    started, spec = time.monotonic(), dataset.spec
    if not dataset.is_plain:
        raise SettingsError(
            f"{spec.name} has rows of frames or an encoder, and refitting is for whole networks on "
            "rows of numbers."
        )
    transform, shrink = spec.observation_transform, settings.shrink
    if transform is None:
        shrink = 1.0
    else:
        transform = dataclasses.replace(transform, scale=shrink * transform.scale)
    with torch.random.fork_rng(devices=[]), torch_threads(1):
        torch.manual_seed(settings.seed)
        # 1. The teacher visits states and answers there.
        teachers = dataset.new_learners(TEACHERS)
        states = _visited(dataset, teachers, settings.seed)
        answers = mean_answers(dataset, teachers, states)
        # 2. Rows start at visited states and in random directions, with its outputs as targets.
        size = dataset.observations.square().mean().sqrt()
        first = first_rows(states, size, settings.instances, settings.visited)
        # A shrunk transform has smaller bounds than those on file.
        spaces = env_spaces(spec.replace(observation_transform=transform, spaces=None))
        # 3. They learn to teach it.
        rows = learn_rows(
            shrink * states,
            answers,
            shrink * first,
            lambda rows: teachers(rows / shrink).mean(0),
            spec.learner,
            spaces.observation,
            settings,
            name=spec.name,
            progress=progress,
        )
    record = {"command": command} | dataclasses.asdict(settings)
    record |= {
        "shrink": shrink,
        "error": round(rows.error, 5),
        "inconsistency": round(rows.inconsistency, 5),
        "wall_seconds": round(time.monotonic() - started, 1),
    }
    if "refit" in spec.provenance:
        record["before"] = spec.provenance["refit"]
    return DistilledDataset(
        rows.observations,
        rows.targets,
        spec.replace(
            name=dataset_name(
                spec.env.id,
                settings.instances,
                spec.env.kwargs.get("dims"),
                wide=spec.is_for_relu,
            ),
            families=(),
            observation_transform=transform,
            spaces=spaces,
            inner=dataclasses.replace(spec.inner, learning_rate=rows.learning_rate),
            provenance=spec.provenance | {"refit": record},
            evaluation={},
            files={},
        ),
    )


def _visited(dataset: DistilledDataset, learners: Population, seed: int) -> Tensor:
    """States ``(n, n_inputs)`` that learners visit, each in an environment of its own."""
    task = dataset.spec.task
    with contextlib.closing(dataset.make_vec_env(len(learners))) as env:
        actors = Actors(env, task, seed)
        rollout = actors.collect(learners.each_at_its_own, log_deviations(task), VISITED)
    return rollout.observations[:-1][rollout.valid.bool()]


def first_rows(states: Tensor, size: Tensor, instances: int, share: float) -> Tensor:
    """Where rows start ``(instances, n_inputs)``: at visited states, and in random directions.

    Visited states, larger by :data:`STRETCH`, show what a good policy sees. The others are
    orthogonal, and show what it sees after a mistake.

    Args:
        states: That the teacher visits ``(n, n_inputs)``.
        size: Root mean square of the others.
        instances: Rows.
        share: Of them that start at visited states.
    """
    met, n_inputs = round(share * instances), states.shape[1]
    others = torch.empty(instances - met, n_inputs)
    if len(others):
        torch.nn.init.orthogonal_(others, size * max(len(others), n_inputs) ** 0.5)
    return torch.cat([STRETCH * states[torch.randint(len(states), (met,))], others])
