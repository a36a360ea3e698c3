"""Settings of PPO from RL Baselines3 Zoo, and the form in which a baseline's settings are given."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn


@dataclass(frozen=True)
class Recipe:
    """How an algorithm is set up.

    Attributes:
        settings: Keyword arguments of the algorithm; SB3's defaults where not given.
        num_envs: Environments side by side.
        normalize: What is normalized by running statistics.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    num_envs: int = 1
    normalize: Literal["nothing", "rewards", "observations and rewards"] = "nothing"


def _linear(start: float) -> Callable[[float], float]:
    return lambda remaining: start * remaining


_WIDE = {
    "log_std_init": -2,
    "ortho_init": False,
    "activation_fn": nn.ReLU,
    "net_arch": {"pi": [256, 256], "vf": [256, 256]},
}


def _tuned(**settings: Any) -> Recipe:
    return Recipe(settings, normalize="observations and rewards")


# PPO's settings in RL Baselines3 Zoo (hyperparams/ppo.yml), made for -v3 (Reacher: -v2). Those of
# cart-pole are CartPole-v1's: there are none for more axes.
ZOO: dict[str, Recipe] = {
    "CartPoleND": Recipe(
        {
            "n_steps": 32,
            "batch_size": 256,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "n_epochs": 20,
            "learning_rate": _linear(1e-3),
            "clip_range": _linear(0.2),
        },
        num_envs=8,
    ),
    "HalfCheetah": _tuned(
        batch_size=64,
        n_steps=512,
        gamma=0.98,
        learning_rate=2.0633e-05,
        ent_coef=0.000401762,
        clip_range=0.1,
        n_epochs=20,
        gae_lambda=0.92,
        max_grad_norm=0.8,
        vf_coef=0.58096,
        policy_kwargs=_WIDE,
    ),
    "Hopper": _tuned(
        batch_size=32,
        n_steps=512,
        gamma=0.999,
        learning_rate=9.80828e-05,
        ent_coef=0.00229519,
        clip_range=0.2,
        n_epochs=5,
        gae_lambda=0.99,
        max_grad_norm=0.7,
        vf_coef=0.835671,
        policy_kwargs=_WIDE,
    ),
    "Humanoid": _tuned(
        batch_size=256,
        n_steps=512,
        gamma=0.95,
        learning_rate=3.56987e-05,
        ent_coef=0.00238306,
        clip_range=0.3,
        n_epochs=5,
        gae_lambda=0.9,
        max_grad_norm=2,
        vf_coef=0.431892,
        policy_kwargs=_WIDE,
    ),
    "HumanoidStandup": _tuned(
        batch_size=32,
        n_steps=512,
        gamma=0.99,
        learning_rate=2.55673e-05,
        ent_coef=3.62109e-06,
        clip_range=0.3,
        n_epochs=20,
        gae_lambda=0.9,
        max_grad_norm=0.7,
        vf_coef=0.430793,
        policy_kwargs=_WIDE,
    ),
    "InvertedDoublePendulum": _tuned(
        batch_size=128,  # the Zoo's 512 is more than the 128 steps of a rollout
        n_steps=128,
        gamma=0.98,
        learning_rate=0.000155454,
        ent_coef=1.05057e-06,
        clip_range=0.4,
        n_epochs=10,
        gae_lambda=0.8,
        max_grad_norm=0.5,
        vf_coef=0.695929,
    ),
    "InvertedPendulum": _tuned(
        batch_size=32,  # the Zoo's 64 is more than the 32 steps of a rollout
        n_steps=32,
        gamma=0.999,
        learning_rate=0.000222425,
        ent_coef=1.37976e-07,
        clip_range=0.4,
        n_epochs=5,
        gae_lambda=0.9,
        max_grad_norm=0.3,
        vf_coef=0.19816,
    ),
    "Reacher": _tuned(
        batch_size=32,
        n_steps=512,
        gamma=0.9,
        learning_rate=0.000104019,
        ent_coef=7.52585e-08,
        clip_range=0.3,
        n_epochs=5,
        gae_lambda=1.0,
        max_grad_norm=0.9,
        vf_coef=0.950368,
    ),
    "Walker2d": _tuned(
        batch_size=32,
        n_steps=512,
        gamma=0.99,
        learning_rate=5.05041e-05,
        ent_coef=0.000585045,
        clip_range=0.1,
        n_epochs=20,
        gae_lambda=0.95,
        max_grad_norm=1,
        vf_coef=0.871923,
    ),
    "Ant": _tuned(),
    "Swimmer": _tuned(gamma=0.9999),
}
