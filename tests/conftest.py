"""A small dataset made by hand, for tests that need no good one."""

import os

import gymnasium as gym
import pytest
import torch

import distilled_envs  # noqa: F401
from distilled_envs.dataset import DistilledDataset
from distilled_envs.spec import DistillationSpec, InnerSpec, TaskSpec

os.environ["HF_HUB_OFFLINE"] = "1"  # tests of the Hub talk to their own, on loopback


@pytest.fixture(autouse=True)
def one_thread_and_one_seed():
    """Two test processes share two cores; what a test draws does not depend on its neighbours."""
    torch.set_num_threads(1)
    torch.manual_seed(1)


@pytest.fixture
def dataset() -> DistilledDataset:
    """Five rows for 2-D cart-pole that teach nothing in particular."""
    generator = torch.Generator().manual_seed(0)
    env_spec = gym.make("CartPoleND-v0", dims=2).spec
    spec = DistillationSpec(
        name="cartpole-nd-2d-toy",
        env=env_spec,
        task=TaskSpec("categorical", (8,), 4),
        inner=InnerSpec(learning_rate=0.5),
        provenance={"seed": 0},
    )
    observations = 0.2 * torch.randn(5, 8, generator=generator)
    return DistilledDataset(observations, torch.randn(5, 4, generator=generator), spec)
