"""Environments whose faults are told in one sentence, wherever they show.

Gymnasium's own checker warns of some at the first step, and knows nothing of a NaN that comes now
and then. What an environment raises would end a run with a traceback into somebody else's code.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from distilled_envs.errors import DistilledEnvsError, FaultyEnvError

_TRIAL = 10
"""Steps of an environment before any work starts."""


class Checked(gym.Wrapper):
    """An environment that checks what it is given; numbers beyond a ``Box`` are let through.

    Many well-known environments leave their bounds a little, such as LunarLander's velocities.

    Args:
        env: As ``gym.make`` made it.

    Raises:
        FaultyEnvError: On resetting and stepping: it fails, or gives what is no observation, no
            finite reward or no end.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """A new episode."""
        given = self._try("reset", lambda: self.env.reset(seed=seed, options=options), 2)
        self._check("reset", given[0])
        return given

    def step(self, action: Any) -> Any:
        """One step."""
        given = self._try("step", lambda: self.env.step(action), 5)
        observation, reward, terminated, truncated, _ = given
        self._check("step", observation)
        try:
            fits = np.ndim(reward) == 0 and np.isfinite(reward)
        except TypeError:
            fits = False
        if not fits:
            raise self._fault("step", f"gave the reward {_short(reward)}, which is no number")
        for name, end in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(end, bool | np.bool_):
                raise self._fault("step", f"gave {_short(end)} as {name}, which is no bool")
        return given

    def _try(self, name: str, call: Any, parts: int) -> Any:
        try:
            given = call()
        except DistilledEnvsError:
            raise
        except Exception as error:  # whatever somebody's code may raise
            said = f"{type(error).__name__}: {error}".split("\n")[0]
            raise self._fault(name, f"failed: {said}") from error
        if not isinstance(given, tuple) or len(given) != parts:
            count = f"{len(given)} values" if isinstance(given, tuple) else type(given).__name__
            raise self._fault(name, f"gave {count} instead of a tuple of {parts}")
        return given

    def _check(self, name: str, observation: Any) -> None:
        space = self.observation_space
        if isinstance(space, spaces.Box):
            given = np.asarray(observation)
            fits = given.shape == space.shape and given.dtype.kind in "biuf"
            fits = fits and bool(np.isfinite(given).all())
        else:
            fits = space.contains(observation)
        if not fits:
            raise self._fault(
                name, f"gave the observation {_short(observation)}, which is none of {space}"
            )

    def _fault(self, name: str, what: str) -> FaultyEnvError:
        known = self.env.spec
        return FaultyEnvError(f"The environment {known.id if known else self.env}: {name} {what}.")


def tried(env: gym.Env) -> None:
    """Play some steps at random.

    Raises:
        FaultyEnvError: The environment can't be played.
    """
    env = Checked(env)
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(_TRIAL):
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()


def _short(value: Any) -> str:
    return " ".join(repr(value).split())[:80]
