"""The same PPO code on the real and on the distilled id; both agents play in the real one."""

import time
from dataclasses import dataclass

import gymnasium as gym
import tyro
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import distilled_envs  # noqa: F401  registers the ids


@dataclass
class Arguments:
    """Train Stable-Baselines3's PPO on the real and on the distilled id, and play for real."""

    dims: int = 2
    """Cart-pole axes."""
    steps: int = 20_000
    """Environment steps of each training."""
    episodes: int = 20
    """Episodes played in the real environment."""
    seed: int = 0
    """Seed of both trainings."""


def main(arguments: Arguments) -> None:
    """Train on both ids, and print what each agent reaches in the real environment."""
    real = Monitor(gym.make("CartPoleND-v0", dims=arguments.dims))
    for env_id in ("CartPoleND-v0", "DistilledCartPoleND-v0"):
        started = time.perf_counter()
        env = gym.make(env_id, dims=arguments.dims)
        model = PPO("MlpPolicy", env, seed=arguments.seed, device="cpu").learn(arguments.steps)
        seconds = time.perf_counter() - started
        mean, std = evaluate_policy(model, real, n_eval_episodes=arguments.episodes)
        print(
            f"PPO, {arguments.steps} steps on {env_id}: {seconds:.0f} s, "
            f"return in the real environment {mean:.1f} ± {std:.1f}"
        )


if __name__ == "__main__":
    main(tyro.cli(Arguments))
