"""Small datasets made by hand, for tests that need no good ones."""

import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import pytest
import torch

import distilled_envs  # noqa: F401
from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs import atari
from distilled_envs.learners.encoder import make_encoder
from distilled_envs.spec import DistillationSpec, InnerSpec, LearnerSpec, TaskSpec
from distilled_envs.training import Settings, distill
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.presets import PRESETS

os.environ["HF_HUB_OFFLINE"] = "1"  # tests of the Hub talk to their own, on loopback


@pytest.fixture(autouse=True)
def one_thread_and_one_seed():
    """Two test processes share two cores; what a test draws does not depend on its neighbors."""
    torch.set_num_threads(1)
    torch.manual_seed(1)


@pytest.fixture(scope="session")
def short_run() -> Settings:
    """A distillation of four iterations, in half a second."""
    return Settings(
        name="cartpole-nd-1d-min",
        env_id="CartPoleND-v0",
        dims=1,
        instances=2,
        total_steps=4 * 4 * 2 * 16,
        threads=1,
        learners=4,
        envs_per_learner=2,
        horizon=16,
        minibatches=2,
        eval_learners=3,
        eval_episodes=1,
        checkpoint_seconds=0.0,
    )


@pytest.fixture
def interrupted(monkeypatch) -> Callable[..., None]:
    """Distill, with a Ctrl-C in an iteration, the first of two if nothing else is given."""
    end_iteration = MetaPPO.end_iteration

    def run(settings: Settings, output: Path, after: int = 1, of: int = 2) -> None:
        def end_and_interrupt(algorithm, *args):
            metrics = end_iteration(algorithm, *args)
            if algorithm.iteration == after:
                signal.raise_signal(signal.SIGINT)
            return metrics

        with monkeypatch.context() as patch:
            patch.setattr(MetaPPO, "end_iteration", end_and_interrupt)
            with pytest.raises(
                KeyboardInterrupt, match=f"stopped after {after} of {of} iterations"
            ):
                distill(settings, output, progress=False)

    return run


@pytest.fixture
def tiny() -> Settings:
    """Two iterations of Pong."""
    return dataclasses.replace(
        PRESETS["pong-level4"],
        guide_share=0.0,
        learners=2,
        envs_per_learner=1,
        horizon=8,
        minibatches=2,
        epochs=1,
        total_steps=32,
        eval_learners=2,
        threads=1,
    )


@pytest.fixture
def small_cartpole() -> Settings:
    """Forty iterations of 2-D cart-pole, a second or two, of networks from the start."""
    return dataclasses.replace(
        PRESETS["cartpole-nd-2d-64"],
        name="cartpole-nd-2d-min",
        instances=3,
        consistency=0.1,
        threads=1,
        learners=4,
        horizon=16,
        minibatches=4,
        total_steps=4 * 8 * 16 * 40,
        eval_learners=2,
        eval_episodes=1,
    )


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
    observations = 0.1 * torch.randn(5, 8, generator=generator)
    return DistilledDataset(observations, torch.randn(5, 4, generator=generator), spec)


@pytest.fixture
def toy() -> Callable[[int], DistilledDataset]:
    """Three stacks of noise for Pong, by encoder level."""

    def make(level: int) -> DistilledDataset:
        atari.register("ALE/Pong-v5")
        torch.manual_seed(level)
        learner = LearnerSpec("nature-cnn", (512,), "relu", encoder_level=level)
        spec = DistillationSpec(
            name=f"pong-level{level}",
            env=gym.make("ALE/Pong-v5", **atari.ENV_KWARGS).spec,
            task=TaskSpec("categorical", atari.FRAMES, 6),
            inner=InnerSpec(learning_rate=0.01),
            learner=learner,
            preprocessing="atari",
        )
        frames = torch.randint(0, 256, (3, *atari.FRAMES)).float()
        encoder = None
        if level:
            # What goes through a file is rounded to half precision.
            state = make_encoder(learner, frames).state_dict()
            encoder = {name: value.half().float() for name, value in state.items()}
        return DistilledDataset(frames, torch.randn(3, 6), spec, encoder=encoder)

    return make
