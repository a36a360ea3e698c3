"""Distilling games: what is learned at each encoder level, lives, and a whole small run."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DatasetError, SettingsError
from distilled_envs.spec import TaskSpec
from distilled_envs.storage.folder import ENCODER_FILE
from distilled_envs.training import centering, distill
from distilled_envs.training.backends import checked_world
from distilled_envs.training.batch import DistilledBatch
from distilled_envs.training.centering import Centered
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.normalization import RewardSign
from distilled_envs.training.rollout import Actors
from distilled_envs.training.starts import prefer


@pytest.mark.parametrize("level", range(5))
def test_an_iteration_moves_rows_and_encoder(level, tiny, start):
    settings = dataclasses.replace(tiny, encoder_level=level)
    run = start(settings)
    parts = {"rows": [run.batch.rows], "encoder": [*run.view.encoder.parameters()]}
    before = {name: [p.detach().clone() for p in part] for name, part in parts.items()}
    critic = [p.detach().clone() for p in run.critic.parameters()]
    metrics = run.iterate()
    assert all(np.isfinite(v) for name, v in metrics.items() if name != "return")
    for name, part in parts.items():
        moved = [not torch.equal(p, b) for p, b in zip(part, before[name], strict=True)]
        assert all(moved), name
    assert len(parts["encoder"]) == 2 * level
    assert all(not torch.equal(p, b) for p, b in zip(run.critic.parameters(), critic, strict=True))
    frames = run.batch.observations.detach()
    assert torch.equal(frames, frames.round())
    assert 0 <= frames.min() <= frames.max() <= 255


@pytest.mark.parametrize("level", [0, 3, 4])
def test_networks_that_last_are_centered(level, tiny, start):
    settings = dataclasses.replace(tiny, encoder_level=level)
    run = start(settings)
    for network in (run.view.encoder, run.critic):
        parts = [part for part in network if [*part.parameters()]]
        assert all(isinstance(part, Centered) for part in parts)
    assert len([part for part in run.view.encoder if isinstance(part, Centered)]) == level


def test_what_all_frames_share_is_learned_slowly(tiny, monkeypatch, start):
    """Targets that lift an action everywhere: entropy alone would push it down again."""
    settings = dataclasses.replace(tiny, entropy=1.0, value_weight=0.0, clip=1e-9, anneal=False)
    norms = []
    for share in (1.0, 0.0):
        monkeypatch.setattr(centering, "SHARED_GRADIENT", share)
        run = start(settings)
        prefer(run, 1)
        run.descend = lambda loss, run=run: norms.append(
            torch.autograd.grad(loss, run.batch.targets)[0].norm()
        )
        run.iterate()
    assert norms[2] < 0.5 * norms[0]


@pytest.mark.parametrize("instances", [2, 3, 10])
def test_rows_of_frames_do_not_all_order_two_actions_alike(instances):
    for seed in range(10):
        torch.manual_seed(seed)
        space = gym.spaces.Box(0, 255, (1, 4, 4), np.uint8)
        start = torch.rand(instances, 1, 4, 4)
        targets = DistilledBatch(space, instances, 6, 0.1, observations=start).targets.detach()
        order = (targets.unsqueeze(1) > targets.unsqueeze(2))[:, ~torch.eye(6, dtype=bool)]
        assert order.any(0).all() and not order.all(0).any()


def test_there_may_be_more_rows_than_frames_were_seen(tiny, start):
    settings = dataclasses.replace(tiny, instances=40)
    run = start(settings)
    assert run.batch.observations.shape == (40, 4, 84, 84)
    assert np.isfinite(run.iterate()["policy_loss"])
    assert not run.actors.recent_returns


def test_a_run_makes_a_dataset_of_frames(tmp_path, tiny):
    dataset = distill(tiny, tmp_path / "run", progress=False)
    again = DistilledDataset.load(tmp_path / "run" / "dataset")
    assert (tmp_path / "run" / "dataset" / ENCODER_FILE).exists()
    assert dataset.observations.shape == (4, 4, 84, 84)
    assert (dataset.spec.family, dataset.spec.variant) == ("pong", "level4")
    assert dataset.spec.preprocessing == "atari"
    assert dataset.spec.evaluation["one_step"]["learners"] == 2
    real = dataset.make_env()
    assert all(
        real.observation_space.contains(row.to(torch.uint8).numpy()) for row in again.observations
    )
    env = gym.make("DistilledCartPoleND-v0", dataset=str(tmp_path / "run" / "dataset"))
    assert env.observation_space == real.observation_space


@pytest.mark.slow
def test_a_run_goes_on(tmp_path, monkeypatch, interrupted, tiny):
    one = MetaPPO.iterate
    interrupted(tiny, tmp_path / "run")
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["algorithm"]
    seen = []

    def look_and_iterate(run):
        seen.append(run.view.state_dict()["encoder.1.layer.weight"].clone())
        return one(run)

    monkeypatch.setattr(MetaPPO, "iterate", look_and_iterate)
    dataset = distill(tiny, tmp_path / "run", resume=True, progress=False)
    assert torch.equal(seen[0], state["view"]["encoder.1.layer.weight"])
    assert len(seen) == 1
    assert dataset.spec.provenance["env_steps"] == 32


def test_networks_of_another_version_are_told(tmp_path, interrupted, tiny):
    interrupted(tiny, tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    view = state["algorithm"]["view"]
    view["encoder.1.weight"] = view.pop("encoder.1.layer.weight")
    torch.save(state, path)
    with pytest.raises(SettingsError, match="of another version"):
        distill(tiny, tmp_path / "run", resume=True, progress=False)


class Lives(VectorEnv):
    """One game of two lives: the second step costs one, the fourth the other."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012
    num_envs = 1
    single_observation_space = gym.spaces.Box(0, 255, (1, 2, 2), np.uint8)
    single_action_space = gym.spaces.Discrete(2)
    lives = (2, 2, 1, 1, 0)

    def reset(self, *, seed=None, options=None):
        self.step_number = 0
        return self.shown(), {"lives": np.array([2])}

    def shown(self):
        return np.full((1, 1, 2, 2), self.step_number, np.uint8)

    def step(self, actions):
        if self.step_number == 4:  # the step that resets
            return self.reset()[0], np.zeros(1), np.zeros(1, bool), np.zeros(1, bool), self.info()
        self.step_number += 1
        over = np.array([self.step_number == 4])
        return self.shown(), np.array([-7.0]), over, np.zeros(1, bool), self.info()

    def info(self):
        return {"lives": np.array([self.lives[self.step_number]])}


@pytest.mark.parametrize("count", [True, False])
def test_a_lost_life_ends_nothing_but_the_credit(count):
    actors = Actors(Lives(), TaskSpec("categorical", (1, 2, 2), 2), 0, None, RewardSign(), count)
    rollout = actors.collect(lambda frames: torch.zeros(len(frames), 2), None, 7)
    assert rollout.observations.dtype == torch.uint8
    assert rollout.terminated[:, 0].tolist() == [0, float(count), 0, 1, 0, 0, float(count)]
    assert rollout.valid[:, 0].tolist() == [1, 1, 1, 1, 0, 1, 1]
    assert rollout.rewards[:, 0].tolist() == [-1, -1, -1, -1, 0, -1, -1]
    assert [*actors.recent_returns] == [-28]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env_id": "ALE/Pnog-v5"}, "ALE/Pnog-v5 can't be made"),
        ({"encoder_level": None, "end_at_lost_life": False}, "needs an encoder_level"),
        ({"env_id": "CartPole-v1", "end_at_lost_life": False}, "leave out the encoder_level"),
        ({"encoder_level": 5}, "encoder_level must be 0 to 4, got 5"),
        ({"encoder_level": None, "env_id": "CartPole-v1"}, "end_at_lost_life is for Atari"),
        ({"hidden_sizes": (64, 64)}, "one hidden layer after its convolutions"),
    ],
)
def test_what_can_not_be_distilled_is_said(changes, message, tiny):
    with pytest.raises(SettingsError, match=message):
        checked_world(dataclasses.replace(tiny, **changes))


def test_a_missing_rom_is_said(monkeypatch, tiny):
    monkeypatch.setattr("ale_py.roms.get_rom_path", lambda name: None)
    with pytest.raises(DatasetError, match=r"The ROM of ALE/Pong-v5 is missing: .* pong\.bin"):
        checked_world(tiny)


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_said(device, tmp_path, tiny):
    with pytest.raises(SettingsError, match=f"The device '{device}' can't be used"):
        distill(dataclasses.replace(tiny, device=device), tmp_path / "run")
    assert not (tmp_path / "run").exists()
