"""What one-step learners meet in the real environment, with their mean answers."""

import contextlib

import numpy as np
import torch
from torch import Tensor, nn

from distilled_envs.bars import tqdm
from distilled_envs.envs.real import make_vec_env
from distilled_envs.learners.actions import as_taken, choose_actions, log_deviations
from distilled_envs.learners.expansion import mean_answers, one_step_learners
from distilled_envs.rows import Rows
from distilled_envs.seeds import small_seed

PLAYERS = 16
"""Learners that play, each in an environment of its own, and whose answers are averaged."""
_MAX_STEPS = 4_000
"""Steps of a first episode at most: in Breakout nothing may happen for 27,000."""


def play(dataset: Rows, n: int, seed: int, *, progress: bool = False) -> tuple[Tensor, Tensor]:
    """Let fresh one-step learners play, and keep what some of their steps showed.

    Each plays for an episode at least. All steps are as likely to be kept. Actions are sampled, so
    that more is met than one course of events.

    Args:
        dataset: The distilled dataset.
        n: Observations to keep.
        seed: Seed of learners, environments and actions, and of what is kept.
        progress: Whether to show a bar of steps.

    Returns:
        Observations ``(n, *obs_shape)``, frames as uint8, and mean answers ``(n, n_outputs)``.

    Raises:
        MissingExtraError: The simulator is not installed.
    """
    task, encode = dataset.spec.task, dataset.encoder or nn.Identity()
    log_std = log_deviations(task)
    chance = np.random.default_rng(seed)
    env = make_vec_env(dataset.spec, PLAYERS)
    kept = np.empty((n, *task.observation_shape), env.single_observation_space.dtype)
    seen, steps = 0, 0
    playing = np.ones(PLAYERS, dtype=bool)
    with (
        torch.random.fork_rng(devices=[]),
        tqdm(unit=" steps", leave=False, dynamic_ncols=True, disable=not progress) as bar,
        contextlib.closing(env),
    ):
        torch.manual_seed(seed)
        learners = one_step_learners(dataset, torch.Generator().manual_seed(seed), PLAYERS)
        bar.set_description_str(f"{dataset.spec.name}: playing")
        observations, _ = env.reset(seed=small_seed(seed))
        while seen < n or (playing.any() and steps < _MAX_STEPS):
            # Reservoir sampling (Vitter, 1985): the number of steps is not known before.
            for observation in observations:
                place = seen if seen < n else chance.integers(seen + 1)
                if place < n:
                    kept[place] = observation
                seen += 1
            with torch.no_grad():
                shown = torch.as_tensor(observations, dtype=torch.float32)
                outputs = learners.each_at_its_own(encode(shown))
                actions = choose_actions(task, outputs, log_std, greedy=False).numpy()
            actions = as_taken(env.single_action_space, actions)
            observations, _, terminated, truncated, _ = env.step(actions)
            playing &= ~(terminated | truncated)
            steps += 1
            bar.update(PLAYERS)
        pictures = torch.from_numpy(kept)
        answers = mean_answers(dataset, learners, pictures)
    return pictures if pictures.dtype == torch.uint8 else pictures.float(), answers
