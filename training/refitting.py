"""Other rows for the same behaviour, which ordinary training can use too.

Rows distilled by meta-PPO teach through their own one step and nothing else: after it the learners'
outputs at the rows are not the targets, so that any further training undoes the policy. A
consistency term in meta-PPO's loss mends that for cart-pole; on continuous control it holds the
policy back. Here it costs next to nothing, since the policy is already known: take the mean of a
population as the teacher, the states that it visits as the questions, and descend on

    E_states |learner after its step - teacher|^2 / |teacher|^2  +  consistency * its inner loss

The outer loop is that of Wilhelm & Ventura, arXiv 2508.09283, with cloning instead of PPO.
"""

import dataclasses
import time

import torch
from torch import Tensor
from tqdm import trange

from distilled_envs.dataset import DistilledDataset
from distilled_envs.environments import make_env
from distilled_envs.errors import SettingsError
from distilled_envs.inner_step import inner_loss, inner_step
from distilled_envs.learner import Parameters, forward, initial_parameters
from distilled_envs.spec import LearnerSpec
from distilled_envs.threads import torch_threads
from distilled_envs.training.batch import DistilledBatch
from distilled_envs.training.divergence import DivergedError
from distilled_envs.training.presets import dataset_name
from distilled_envs.training.rollout import Actors

TEACHERS = 32
"""Learners whose mean output is the teacher, and who visit the states."""
VISITED = 400
"""Environment steps of each of them."""
LEARNERS = 8
"""Fresh learners in one gradient step."""
STATES = 512
"""Visited states in one gradient step."""
STRETCH = 2.0
"""How much larger than a visited state the row is that starts there."""


def refit(
    dataset: DistilledDataset,
    *,
    instances: int = 64,
    visited: float = 0.5,
    steps: int = 3_000,
    consistency: float = 0.3,
    shrink: float = 0.5,
    learning_rate: float = 1e-2,
    seed: int = 0,
    command: str | None = None,
    progress: bool = True,
) -> DistilledDataset:
    """Find rows that teach what a dataset teaches, and that learners fit after their one step.

    Args:
        dataset: The dataset whose learners are the teacher.
        instances: Rows of the new one, k.
        visited: Share of the rows that start as visited states, stretched; the others start in all
            directions alike.
        steps: Gradient steps, a hundredth of a second each.
        consistency: Weight of the inner loss after the step.
        shrink: Factor on the scale of the observation transform, where there is one. The smaller
            the inputs, the more alike are networks of different widths: at 0.5 HalfCheetah's of
            width 256 get 4,486, at 1 only 1,324.
        learning_rate: Learning rate (Adam), which falls linearly to 0.
        seed: Seed of rows, learners and environments.
        command: The shell command that asked for it, kept in the provenance.
        progress: Whether to show a progress bar.

    Returns:
        The new dataset, not evaluated yet. Its provenance is the old one's, and ``refit`` in it
        says how the rows were found and how well they fit: ``error`` on states and
        ``inconsistency`` at the rows, as fractions of the mean square.

    Raises:
        SettingsError: Counts below 1, or a negative weight.
        DivergedError: The numbers are no longer finite.
    """
    if (
        min(instances, steps) < 1
        or not 0 <= visited <= 1
        or consistency < 0
        or min(shrink, learning_rate) <= 0
    ):
        raise SettingsError(
            "refit needs instances and steps of at least 1, visited within 0 and 1, a consistency "
            "of at least 0 and a shrink and a learning_rate above 0, "
            f"got {instances}, {steps}, {visited}, {consistency}, {shrink} and {learning_rate}."
        )
    started, spec = time.monotonic(), dataset.spec
    if spec.preprocessing is not None:
        raise SettingsError(f"{spec.name} has rows of frames, and refit is for rows of numbers.")
    transform = spec.observation_transform
    if transform is None:
        shrink = 1.0
    else:
        transform = dataclasses.replace(transform, scale=shrink * transform.scale)
    network, sizes = spec.learner, (spec.task.observation_shape, spec.task.n_outputs)
    with torch.random.fork_rng(devices=[]), torch_threads(1):
        torch.manual_seed(seed)
        teachers = dataset.new_learners(TEACHERS)
        states = _visited(dataset, teachers, seed)
        answers = torch.cat([_mean_output(network, teachers, s) for s in states.split(2_000)])
        size = answers.square().mean()
        first = _first_rows(dataset, states, instances, visited)
        space = make_env(spec.replace(observation_transform=transform)).observation_space
        scale = shrink * first.square().mean().sqrt().item()
        batch = DistilledBatch(space, instances, sizes[1], 1.0, scale=scale, bounded=True)
        batch.rows.data = shrink * first
        batch.project()
        batch.targets.data = _mean_output(network, teachers, batch.rows.data / shrink)
        optimizer = torch.optim.Adam(batch.parameters(), learning_rate)
        bar = trange(steps, desc=f"{spec.name}: refit", dynamic_ncols=True, disable=not progress)
        for step in bar:
            optimizer.param_groups[0]["lr"] = learning_rate * (1 - step / steps)
            chosen = torch.randint(len(states), (STATES,))
            fresh = initial_parameters(network, *sizes, LEARNERS)
            rows, targets, rate = batch.observations, batch.targets, batch.learning_rate
            learners = inner_step(network, fresh, rows, targets, rate, keep_graph=True)
            outputs = forward(network, learners, shrink * states[chosen])
            error = inner_loss(outputs, answers[chosen]).mean() / size
            after = forward(network, learners, rows)
            inconsistency = inner_loss(after, targets).mean() / targets.square().mean()
            optimizer.zero_grad()
            (error + consistency * inconsistency).backward()
            optimizer.step()
            batch.project()
            bar.set_postfix_str(f"error {error:.4f}", refresh=False)
    if not batch.learning_rate.isfinite() or not error.isfinite():
        raise DivergedError(
            f"Refitting diverged: try a smaller learning rate (it was {learning_rate:g})."
        )
    record = {
        "command": command,
        "instances": instances,
        "visited": visited,
        "steps": steps,
        "consistency": consistency,
        "shrink": shrink,
        "learning_rate": learning_rate,
        "seed": seed,
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
            observation_transform=transform,
            inner=dataclasses.replace(spec.inner, learning_rate=batch.learning_rate.item()),
            provenance=spec.provenance | {"refit": record},
            evaluation={},
            files={},
        ),
    )


def _visited(dataset: DistilledDataset, learners: Parameters, seed: int) -> Tensor:
    """States ``(n, n_inputs)`` that learners visit, each in an environment of its own."""
    spec = dataset.spec
    env = dataset.make_vec_env(TEACHERS)
    log_std = spec.task.target_log_std
    rollout = Actors(env, spec.task, seed).collect(
        lambda states: forward(spec.learner, learners, states.unsqueeze(1)).squeeze(1),
        None if log_std is None else torch.tensor(log_std),
        VISITED,
    )
    env.close()
    return rollout.observations[:-1][rollout.valid.bool()]


def _mean_output(network: LearnerSpec, learners: Parameters, states: Tensor) -> Tensor:
    """The population's answer ``(n, n_outputs)`` to states ``(n, n_inputs)``."""
    return forward(network, learners, states).mean(0)


def _first_rows(dataset: DistilledDataset, states: Tensor, instances: int, share: float) -> Tensor:
    """Rows ``(instances, n_inputs)``: stretched states, and others in all directions alike.

    States show what the policy meets; the others, as large as the dataset's rows, what it meets
    when it goes astray.
    """
    met = round(share * instances)
    scale, n_inputs = dataset.observations.square().mean().sqrt(), states.shape[1]
    others = torch.empty(instances - met, n_inputs)
    if len(others):
        torch.nn.init.orthogonal_(others, scale * max(len(others), n_inputs) ** 0.5)
    return torch.cat([STRETCH * states[torch.randint(len(states), (met,))], others])
