"""``~`` is the user's home in every path that is given."""

import pytest
import torch

from distilled_envs import load_distilled
from distilled_envs.cli import main
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.expanded import ExpandedDataset
from distilled_envs.storage.files import given_path
from distilled_envs.training import LinearPolicy


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home, and elsewhere the current folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "home"
    assert not [*(tmp_path / "here").iterdir()]


def test_datasets_and_policies(home):
    dataset = load_distilled("cartpole-nd-2d-min")
    dataset.save("~/rows")
    assert len(DistilledDataset.load("~/rows")) == len(load_distilled("~/rows")) == 3
    dataset.expand(8).save("~/pairs")
    assert len(ExpandedDataset.load("~/pairs")) == 8
    LinearPolicy(torch.ones(4, 8), torch.zeros(4)).save("~/policy.npz")
    assert LinearPolicy.load("~/policy.npz").weights.shape == (4, 8)
    assert {each.name for each in home.iterdir()} == {"rows", "pairs", "policy.npz"}


def test_commands(home):
    linear = ["imitate", "~/policy.npz", "--env", "CartPoleND-v0", "--dims", "2"]
    quick = ["--learners", "2", "--eval-episodes", "1", "--episodes", "2"]
    LinearPolicy(torch.ones(4, 8), torch.zeros(4)).save("~/policy.npz")
    assert main([*linear, *quick, "--output", "~/rows", "--no-progress"]) == 0
    assert main(["show", "~/rows", "--figure", "~/rows.png"]) == 0
    assert main(["evaluate", "~/rows", "--learners", "2", "--episodes", "1"]) == 0
    assert main(["distill", "CliffWalking-v1", "--output", "~/run", "--eval-learners", "2"]) == 0
    named = {each.name for each in home.iterdir()}
    assert {"policy.npz", "rows", "rows.png", "run"} <= named


def test_homes_of_nobody_are_told_of():
    with pytest.raises(SettingsError, match="~nobody-here/x is in the home of a user who is not"):
        given_path("~nobody-here/x")
