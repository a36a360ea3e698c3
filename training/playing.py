"""A policy playing in an environment: what it meets there, and what it gets."""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from distilled_envs.envs.atari import STICKY, with_sticky_actions
from distilled_envs.envs.making import ending
from distilled_envs.errors import PolicyError
from distilled_envs.learners.actions import as_taken, choose_actions
from distilled_envs.training.backends import make_vector_env
from distilled_envs.training.world import World

COPIES = 16
"""Environments in which a policy plays side by side."""


FRAMES_KEPT = 8_192
"""Stacks of frames that are kept of one play; each takes 28 kB."""


_OTHERS = 500_000
"""Between the seeds of games without and with sticky actions."""


class Played(NamedTuple):
    """What a policy met.

    Attributes:
        seen: Observations ``(n, *shape)``, of frames :data:`FRAMES_KEPT` or a few less, evenly
            chosen.
        answers: What it answered ``(n, n_outputs)``.
        returns: Undiscounted returns of its episodes ``(episodes,)``; of those that were cut, what
            they had come to.
    """

    seen: Tensor
    answers: Tensor
    returns: np.ndarray


class Playing:
    """Plays in an environment, each time from other seeds.

    Args:
        world: The environment.
        steps: To play at least, in all copies together.
        seed: Of the first time.

    Attributes:
        env_steps: Steps that were played so far, in all copies.
    """

    def __init__(self, world: World, steps: int, seed: int):
        spec = ending(world.spec)
        if spec is not world.spec:  # an environment's own vector form may know no limit
            spec = dataclasses.replace(spec, vector_entry_point=None)
        self._world = dataclasses.replace(world, spec=spec)
        self._steps, self._seed = steps, seed
        self.env_steps = 0

    def sticky(self) -> "Playing | None":
        """The same with sticky actions; None of what is no Atari game, or has as many already."""
        spec = self._world.spec
        if (
            self._world.preprocessing != "atari"
            or spec.kwargs["repeat_action_probability"] >= STICKY
        ):
            return None
        world = dataclasses.replace(self._world, spec=with_sticky_actions(spec, STICKY))
        return Playing(world, self._steps, self._seed + _OTHERS)

    def __call__(
        self,
        answer: Callable[[Tensor], Tensor],
        episodes: int = COPIES,
        most: float | None = None,
    ) -> Played:
        """Play so many episodes at least.

        Args:
            answer: Observations ``(copies, *shape)`` to outputs ``(copies, n_outputs)``.
            episodes: Of all copies together.
            most: Steps, in all copies together, after which episodes that go on count as they are,
                and those that have not begun as 0; None plays all to their end.

        Raises:
            PolicyError: Outputs are not finite.
        """
        task, frames = self._world.task, self._world.shows_frames
        greedy = self._world.is_played_greedily
        self._seed += COPIES  # of copies side by side each takes the next
        copies = make_vector_env(self._world, min(COPIES, episodes), self._seed, threads=0)
        with contextlib.closing(copies) as env:
            rounds = -(-episodes // env.num_envs)
            returns = np.zeros((env.num_envs, rounds + 1))
            episode = np.zeros(env.num_envs, dtype=int)
            seen: list[np.ndarray] = []
            answers: list[Tensor] = []
            observations, _ = env.reset(seed=self._seed)
            steps, stride, most = 0, 1, math.inf if most is None else most
            while (
                episode.min() < rounds or steps * env.num_envs < self._steps
            ) and steps * env.num_envs < most:
                shown = torch.as_tensor(observations)
                with torch.no_grad():
                    given = answer(shown if frames else shown.float())
                if not given.isfinite().all():
                    raise PolicyError("The teacher's answers are not finite where it plays.")
                if steps % stride == 0:
                    seen.append(observations)
                    answers.append(given)
                if frames and len(seen) * env.num_envs > FRAMES_KEPT:
                    seen, answers, stride = seen[::2], answers[::2], 2 * stride
                actions = choose_actions(task, given, None, greedy=greedy).numpy()
                actions = as_taken(env.single_action_space, actions)
                observations, rewards, terminated, truncated, _ = env.step(actions)
                returns[np.arange(env.num_envs), np.minimum(episode, rounds)] += rewards
                episode += terminated | truncated
                steps += 1
        self.env_steps += steps * env.num_envs
        met = torch.from_numpy(np.concatenate(seen))
        met = met if frames else met.float()
        return Played(met, torch.cat(answers), returns[:, :rounds].reshape(-1))
