"""Seconds until a 495 of 500 on cart-pole: distillation beside SB3's PPO; run by ``make bench``.

A distillation is there when 32 networks that are drawn anew, and take the one step, get 495 on
average with sampled actions; PPO when its likeliest actions do in 10 episodes. Seconds are the
processor's, on one thread, and playing for the score does not count.
"""

import dataclasses

import numpy as np
import torch
from algorithms import seconds_until

from distilled_envs import load_distilled
from distilled_envs.envs.real import make_bare_env
from distilled_envs.studies.sb3 import learn, make_model
from distilled_envs.studies.zoo import ZOO, Recipe
from distilled_envs.training import PRESETS

GOAL, NETWORKS = 495.0, 32
CASES = {
    "cartpole-nd-2d-min": ("PPO, RL Zoo settings", ZOO["CartPoleND"], 100_000, 3),
    "cartpole-nd-5d-64": ("PPO, default settings", Recipe(), 400_000, 1),
}
"""By preset: what it is set beside, how many steps that gets, and the seeds of both."""


def distillation(preset: str, seed: int) -> float:
    """Seconds of a preset's run until fresh networks are there; infinite where they never are."""
    settings = dataclasses.replace(PRESETS[preset], seed=seed)
    return seconds_until(GOAL, settings, networks=NETWORKS)


def baseline(preset: str, recipe: Recipe, steps: int, seed: int) -> float:
    """Seconds of PPO until it is there; infinite where its steps do not suffice."""
    spec = load_distilled(preset).spec

    def make_env():
        return make_bare_env(spec)

    model = make_model("ppo", make_env, recipe, seed)
    curve = learn(model, make_env, steps=steps, evaluations=40, episodes=10, seed=1_000 + seed)
    means = np.mean(curve["returns"], axis=1)
    return curve["seconds"][int(np.argmax(means >= GOAL))] if means.max() >= GOAL else float("inf")


def main() -> None:
    """Print the seconds of every seed, their medians, and their ratio."""
    torch.set_num_threads(1)
    print(f"CPU seconds until a mean return of {GOAL:.0f}\n{'':44}{'median':>8}")
    for preset, (name, recipe, steps, seeds) in CASES.items():
        ours = [distillation(preset, seed) for seed in range(seeds)]
        theirs = [baseline(preset, recipe, steps, seed) for seed in range(seeds)]
        for what, seconds in ((f"{preset}, distillation", ours), (f"{preset}, {name}", theirs)):
            told = ", ".join(f"{each:.1f}" for each in seconds)
            print(f"{what:44}{np.median(seconds):8.1f}   of {told}")
        print(f"{preset + ', ratio':44}{np.median(ours) / np.median(theirs):8.2f}", flush=True)


if __name__ == "__main__":
    main()
