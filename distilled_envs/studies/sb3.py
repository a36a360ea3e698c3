"""Stable-Baselines3 as a baseline: default and RL Zoo settings, with evaluations along the way."""

import time
from collections.abc import Callable
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from distilled_envs.errors import MissingExtraError, SettingsError
from distilled_envs.learners.policies import sb3_policy_for
from distilled_envs.seeds import small_seed
from distilled_envs.studies.zoo import Recipe

try:
    import stable_baselines3 as sb3
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor, VecNormalize
except ImportError:
    raise MissingExtraError("stable-baselines3", "A baseline", "compare") from None

ALGORITHMS = {
    "ppo": sb3.PPO,
    "a2c": sb3.A2C,
    "dqn": sb3.DQN,
    "sac": sb3.SAC,
    "td3": sb3.TD3,
}


def make_model(
    algorithm: str, make_env: Callable[[], gym.Env], recipe: Recipe, seed: int
) -> BaseAlgorithm:
    """A fresh SB3 model on its training environment.

    Args:
        algorithm: A key of :data:`ALGORITHMS`.
        make_env: Makes one copy of the environment.
        recipe: How it is set up.
        seed: Seed of networks, environments and exploration.
    """
    env: VecEnv = VecMonitor(DummyVecEnv([make_env] * recipe.num_envs))
    if recipe.normalize != "nothing":
        observations = recipe.normalize != "rewards"
        env = VecNormalize(env, norm_obs=observations, gamma=recipe.settings.get("gamma", 0.99))
    policy = sb3_policy_for(env.observation_space)
    return ALGORITHMS[algorithm](
        policy, env, seed=small_seed(seed), device="cpu", **recipe.settings
    )


def check_fits(algorithm: str, space: spaces.Space[Any]) -> None:
    """Refuse an algorithm that can't choose these actions.

    Raises:
        SettingsError: It can't, or there is no such algorithm.
    """
    if algorithm not in ALGORITHMS:
        raise SettingsError(f"There is no baseline {algorithm!r}, only {', '.join(ALGORITHMS)}.")
    if algorithm == "dqn" and not isinstance(space, spaces.Discrete):
        raise SettingsError(f"dqn chooses one of several actions, and these are {space}.")
    if algorithm in ("sac", "td3") and not isinstance(space, spaces.Box):
        raise SettingsError(f"{algorithm} needs continuous actions, and these are {space}.")
    if np.any(getattr(space, "start", 0)):
        raise SettingsError(
            f"Stable-Baselines3 counts actions from 0, and these are {space}: wrap the environment."
        )


def learn(
    model: BaseAlgorithm,
    make_env: Callable[[], gym.Env],
    *,
    steps: int,
    evaluations: int,
    episodes: int,
    seed: int,
    progress: Callable[[int, float], None] = lambda step, mean: None,
    callbacks: tuple[BaseCallback, ...] = (),
) -> dict[str, list[Any]]:
    """Train a model, and play with it along the way, the likeliest actions, in the real reward.

    Args:
        model: From :func:`make_model`.
        make_env: Makes one copy of the environment to play in.
        steps: Environment steps of the training.
        evaluations: How often it plays, evenly spread, besides at the start.
        episodes: Episodes each time.
        seed: Seed of the environments that it plays in.
        progress: Called after each evaluation with the steps done and the mean return.
        callbacks: Callbacks of SB3 beside the one that evaluates.

    Returns:
        For each evaluation the ``steps`` and the ``seconds`` of training up to it, evaluations
        left out, and the ``returns`` of its episodes. Seconds are the processor's: with one thread
        those on the clock of an idle machine, and whatever else runs there does not count.
    """
    curve = _Curve(make_env, steps, evaluations, episodes, seed, progress)
    model.learn(steps, callback=[*callbacks, curve])
    return {"steps": curve.steps, "seconds": curve.seconds, "returns": curve.returns}


class _Curve(BaseCallback):
    def __init__(
        self,
        make_env: Callable[[], gym.Env],
        steps: int,
        evaluations: int,
        episodes: int,
        seed: int,
        progress: Callable[[int, float], None],
    ):
        super().__init__()
        self.make_env, self.episodes, self.seed = make_env, episodes, seed
        self.progress = progress
        self.due = [round(steps * i / evaluations) for i in range(evaluations + 1)]
        self.steps: list[int] = []
        self.seconds: list[float] = []
        self.returns: list[list[float]] = []
        self.played = 0.0

    def _on_training_start(self) -> None:
        self.started = time.process_time()
        self._play()

    def _on_step(self) -> bool:
        if len(self.steps) < len(self.due) - 1 and self.num_timesteps >= self.due[len(self.steps)]:
            self._play()
        return True

    def _on_training_end(self) -> None:
        self._play()

    def _play(self) -> None:
        began = time.process_time()
        env: VecEnv = DummyVecEnv([self.make_env] * self.episodes)
        seen = self.model.get_vec_normalize_env()
        if seen is not None and seen.norm_obs:
            env = VecNormalize(env, training=False, norm_reward=False)
            env.obs_rms = seen.obs_rms
        env.seed(self.seed)
        # Returns are those of the environment: no wrapper changes rewards here.
        returns, _ = evaluate_policy(
            self.model, env, self.episodes, return_episode_rewards=True, warn=False
        )
        env.close()
        self.steps.append(self.num_timesteps)
        self.seconds.append(round(began - self.started - self.played, 3))
        self.returns.append([round(float(each), 3) for each in cast(list[float], returns)])
        self.played += time.process_time() - began
        self.progress(self.num_timesteps, float(np.mean(returns)))
