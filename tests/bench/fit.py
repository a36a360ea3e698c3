"""Seconds and return of ``dataset.fit`` beside behavior cloning; run by ``make bench``.

Behavior cloning records 100,000 steps of the real Hopper, with the actions of a network that took
the one step, and trains as ``fit`` does. The networks have two tanh layers of 64 and PyTorch's
default initialization.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from distilled_envs import load_distilled
from distilled_envs.dataset import DistilledDataset
from distilled_envs.expanded import ExpandedDataset

STEPS = 100_000
NETWORKS = 8
COPIES = 8


def demonstrations(dataset: DistilledDataset, seed: int) -> ExpandedDataset:
    """Observations and actions of a one-step network in the real environment."""
    expert = dataset.train(seed=seed)
    env = dataset.make_vec_env(COPIES)
    observations, _ = env.reset(seed=seed)
    seen, done = [], []
    for _ in range(STEPS // COPIES):
        inputs = torch.as_tensor(observations, dtype=torch.float32)
        with torch.no_grad():
            actions = expert(inputs)
        seen.append(inputs)
        done.append(actions)
        space = env.action_space
        observations, *_ = env.step(np.clip(actions.numpy(), space.low, space.high))
    env.close()
    return ExpandedDataset.of(dataset, torch.cat(seen), torch.cat(done), source="demonstrations")


def main() -> None:
    """Time both on one thread, and let the networks play an episode each."""
    torch.set_num_threads(1)
    dataset = load_distilled("hopper", instances=64)
    sources: dict[str, Callable[[int], ExpandedDataset]] = {
        "fit on expanded rows": lambda seed: dataset.expand(seed=seed),
        f"cloning of {STEPS:,} steps": lambda seed: demonstrations(dataset, seed),
    }
    own = dataset.evaluate(learners=NETWORKS, episodes=1).greedy
    print(f"{dataset.spec.name}, {NETWORKS} networks; one step: {own.mean:,.0f} ± {own.std:,.0f}")
    print(f"{'':28}{'data, s':>10}{'training, s':>13}   return")
    for name, source in sources.items():
        policies, spent = [], []
        for seed in range(NETWORKS):
            torch.manual_seed(seed)
            layers = [nn.Linear(11, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3)]
            start = time.perf_counter()
            pairs = source(seed)
            ready = time.perf_counter()
            policies.append(dataset.fit(nn.Sequential(*layers), pairs))
            spent.append((ready - start, time.perf_counter() - ready))
        data, training = np.median(spent, axis=0)
        found = dataset.evaluate(policies, episodes=1).greedy
        print(f"{name:28}{data:10.1f}{training:13.1f}   {found.mean:,.0f} ± {found.std:,.0f}")


if __name__ == "__main__":
    main()
