import json
import sys
import types

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from distilled_envs import load_distilled
from distilled_envs.cli import main
from distilled_envs.errors import DatasetError, SettingsError
from distilled_envs.training.linear_policy import LinearPolicy
from distilled_envs.training.random_search import SearchSettings, linear_policy_of, search


class Aim(gym.Env):
    """One step: the reward is how near the action comes to a linear function of what is seen."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = spaces.Box(-5, 5, (2,), np.float32)
    weights = np.array([[1.0, -0.5, 0.2], [0.3, 0.8, -1.0]])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._steps, self._seen = 0, self.np_random.normal(size=3)
        return self._seen, {}

    def step(self, action):
        reward = -float(np.square(action - self.weights @ self._seen).sum())
        self._steps, self._seen = self._steps + 1, self.np_random.normal(size=3)
        return self._seen, reward, self._steps == 10, False, {}


@pytest.fixture(scope="module", autouse=True)
def aim():
    # A dataset can name no class, only where one is.
    sys.modules["aim_of_tests"] = types.SimpleNamespace(Aim=Aim)
    gym.register("Aim-v0", entry_point="aim_of_tests:Aim")
    yield
    del sys.modules["aim_of_tests"]
    gym.registry.pop("Aim-v0")


SETTINGS = SearchSettings(
    "Aim-v0", total_steps=12_000, directions=4, kept=2, step_size=0.05, noise=0.05
)


def test_a_search_finds_the_policy(tmp_path):
    policy = search(SETTINGS, tmp_path / "run", progress=False)
    seen = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    wanted = seen.double() @ torch.from_numpy(Aim.weights).T
    assert (policy(seen) - wanted).square().mean() < 0.3 * wanted.square().mean()
    saved = LinearPolicy.load(tmp_path / "run" / "policy.npz")
    assert torch.equal(saved.weights, policy.weights)
    assert saved.made["env_steps"] >= 12_000
    assert (saved.made["env_id"], saved.made["noise"]) == ("Aim-v0", 0.05)
    again = search(SETTINGS, tmp_path / "again", progress=False)
    assert torch.equal(again.weights, policy.weights)


def test_a_search_goes_on(tmp_path):
    first = SearchSettings(**vars(SETTINGS) | {"total_steps": 800})
    search(first, tmp_path, progress=False)
    with np.load(tmp_path / "state.npz") as state:
        assert state["steps"] == 800
        before = state["highest"]
    search(SETTINGS, tmp_path, resume=True, progress=False)
    with np.load(tmp_path / "state.npz") as state:
        assert state["steps"] == 12_000
        assert state["highest"] > before
    with pytest.raises(SettingsError, match="exists already: go on with --resume"):
        search(SETTINGS, tmp_path, progress=False)
    with pytest.raises(SettingsError, match="another noise: choose another --output"):
        search(SearchSettings(**vars(SETTINGS) | {"noise": 1.0}), tmp_path, resume=True)
    whole = (tmp_path / "state.npz").read_bytes()
    for damaged in (b"", b"half", whole[:300], whole[:-30]):
        (tmp_path / "state.npz").write_bytes(damaged)
        with pytest.raises(SettingsError, match="no search that could go on"):
            search(SETTINGS, tmp_path, resume=True)
    (tmp_path / "state.npz").write_bytes(whole)
    (tmp_path / "search.json").write_text("[]")
    with pytest.raises(SettingsError, match="no search that could go on"):
        search(SETTINGS, tmp_path, resume=True)


def test_ctrl_c_keeps_what_was_found(tmp_path, monkeypatch):
    def interrupted(*arguments):
        interrupted.calls += 1
        if interrupted.calls == 4:
            raise KeyboardInterrupt
        return iterate(*arguments)

    from distilled_envs.training import random_search

    iterate, interrupted.calls = random_search._iterate, 0
    monkeypatch.setattr(random_search, "_iterate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(SETTINGS, tmp_path, progress=False)
    with np.load(tmp_path / "state.npz") as state:
        assert state["iteration"] == 3
    assert json.loads((tmp_path / "search.json").read_text())["env_id"] == "Aim-v0"


def test_only_some_coordinates_are_seen(tmp_path):
    settings = SearchSettings(**vars(SETTINGS) | {"coordinates": (0, 2), "total_steps": 6_000})
    policy = search(settings, tmp_path, progress=False)
    assert policy.weights.shape == (2, 3)
    assert not policy.weights[:, 1].any()
    assert policy.weights[:, [0, 2]].any()


def test_a_search_starts_from_a_policy(tmp_path):
    weights, ones = torch.tensor(Aim.weights), torch.ones(3, dtype=torch.float64)
    given = LinearPolicy(weights, ones[:2], 0 * ones, ones, made={"env_steps": 7})
    given.save(tmp_path / "start.npz")
    settings = SearchSettings(
        **vars(SETTINGS) | {"start": str(tmp_path / "start.npz"), "total_steps": 80, "noise": 1e-6}
    )
    policy = search(settings, tmp_path / "run", progress=False)
    seen = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    start = LinearPolicy.load(tmp_path / "start.npz")
    assert torch.allclose(policy(seen), start(seen), atol=1e-3)
    assert torch.equal(policy.mean, start.mean)
    assert torch.allclose(policy.std, start.std)
    # What the start cost is kept, also by a search that goes on.
    assert LinearPolicy.load(tmp_path / "run" / "policy.npz").made["teacher"] == {"env_steps": 7}
    longer = SearchSettings(**vars(settings) | {"total_steps": 160})
    search(longer, tmp_path / "run", resume=True, progress=False)
    made = LinearPolicy.load(tmp_path / "run" / "policy.npz").made
    assert (made["env_steps"], made["teacher"]) == (160, {"env_steps": 7})
    with pytest.raises(SettingsError, match="is no start"):
        np.savez(tmp_path / "start.npz", W=weights)
        search(settings, tmp_path / "other", progress=False)


def test_datasets_are_linear_policies(tmp_path):
    pytest.importorskip("mujoco")
    dataset = load_distilled("hopper", instances=64)
    policy = linear_policy_of(dataset)
    env = dataset.make_env()
    raw, _ = env.unwrapped.reset(seed=0)
    shown = torch.as_tensor(env.observation(raw), dtype=torch.float32)
    learner = dataset.train(seed=0)
    answer = policy(torch.from_numpy(raw).unsqueeze(0)).float()
    assert torch.allclose(answer, learner(shown.unsqueeze(0)), atol=0.05)
    with pytest.raises(DatasetError, match="no normalization"):
        linear_policy_of(load_distilled("cartpole_2d"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kept": 5}, r"kept must lie in 1\.\.directions"),
        ({"noise": 0.0}, "step_size and noise must be above 0"),
        ({"bonus": float("nan")}, "the bonus a number"),
        ({"total_steps": 0}, "total_steps and threads"),
        ({"seed": -1}, "A seed is a whole number"),
    ],
)
def test_settings_that_make_no_sense(changes, sentence):
    with pytest.raises(SettingsError, match=sentence):
        SearchSettings(**vars(SETTINGS) | changes)


def test_environments_that_do_not_fit(tmp_path):
    with pytest.raises(SettingsError, match="bounded Box actions"):
        search(SearchSettings("CartPole-v1"), tmp_path / "run")
    for places in ((3,), (-1,), (0, 0), ()):
        with pytest.raises(SettingsError, match=r"coordinates must be different, in 0\.\.2"):
            search(SearchSettings("Aim-v0", coordinates=places), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_search_command(tmp_path, capsys):
    command = ["search", "--env-id=Aim-v0", "--total-steps=80", "--directions=2", "--kept=1"]
    assert main([*command, f"--output={tmp_path / 'run'}"]) == 0
    assert "distilled-envs imitate" in capsys.readouterr().out
    assert LinearPolicy.load(tmp_path / "run" / "policy.npz").mean is not None
    assert main([*command, f"--output={tmp_path / 'run'}"]) == 1
    assert "--resume" in capsys.readouterr().err
