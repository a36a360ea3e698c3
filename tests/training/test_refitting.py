import pytest
import torch

from distilled_envs import load_distilled
from distilled_envs.cli import main
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.learners.one_step import inner_loss
from distilled_envs.studies.drop_in import train_with_adam
from distilled_envs.training import refit


def inconsistency(dataset: DistilledDataset) -> float:
    """How far outputs at the rows are from the targets after the one step, of their mean square."""
    with torch.no_grad():
        outputs = dataset.train(seed=0)(dataset.observations)
    return (inner_loss(outputs, dataset.targets) / dataset.targets.square().mean()).item()


@pytest.mark.slow
def test_refitted_rows_teach_in_one_step_and_to_convergence():
    """Three rows of cart-pole teach through their one step only; 64 others, both ways."""
    three = load_distilled("cartpole_2d", instances=3)
    assert train_return(three) < 250
    dataset = refit(three, instances=64, steps=1_000, consistency=0.3, progress=False)
    assert dataset.observations.shape == (64, 8)
    assert dataset.evaluate(learners=20, episodes=1).greedy.mean > 450
    assert train_return(dataset) > 400
    assert inconsistency(dataset) < 0.05
    record = dataset.spec.provenance["refit"]
    assert record["instances"] == 64
    assert record["error"] < 0.05
    assert record["inconsistency"] < 0.05
    assert dataset.spec.provenance["seed"] == three.spec.provenance["seed"]
    assert dataset.spec.name == "cartpole-nd-2d-64"
    space = dataset.make_env().observation_space
    assert all(space.contains(row) for row in dataset.observations.numpy())


def train_return(dataset: DistilledDataset) -> float:
    policies = [train_with_adam(dataset, seed=seed, steps=3_000) for seed in range(3)]
    returns = [dataset.evaluate(policy, episodes=5).greedy.mean for policy in policies]
    return sum(returns) / len(returns)


def test_refit_repeats_and_leaves_the_global_generator_alone(dataset):
    state = torch.get_rng_state()
    one, two, other = (refit(dataset, steps=3, seed=s, progress=False) for s in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one.observations, two.observations)
    assert torch.equal(one.targets, two.targets)
    assert not torch.equal(one.targets, other.targets)


@pytest.mark.parametrize("visited", [0.0, 0.5, 1.0])
def test_refit_of_fewer_rows_than_inputs(dataset, visited):
    fitted = refit(dataset, instances=3, visited=visited, steps=2, progress=False)
    assert fitted.observations.shape == (3, 8)


@pytest.mark.slow
def test_refit_under_a_smaller_transform_knows_its_smaller_space():
    hopper = load_distilled("hopper", instances=64)
    small = refit(hopper, instances=4, steps=1, shrink=0.5, progress=False)
    assert small.spec.spaces.observation == small.make_env().observation_space
    bound = hopper.spec.spaces.observation.high.max()
    assert small.spec.spaces.observation.high.max() == pytest.approx(bound / 2)
    assert small.spec.spaces.action == hopper.spec.spaces.action


def test_rows_of_frames_are_refused(toy):
    with pytest.raises(SettingsError, match="rows of frames"):
        refit(toy(4), progress=False)


@pytest.mark.slow
def test_refit_command(tmp_path, capsys):
    command = ["refit", "swimmer", "--steps=1000", "--learners=3", "--no-progress"]
    assert main([*command, f"--output={tmp_path / 'new'}"]) == 0
    assert "one_step" in capsys.readouterr().out
    loaded = load_distilled(tmp_path / "new")
    assert loaded.spec.evaluation["one_step"]["greedy"]["mean"] > 100
    before = load_distilled("swimmer").spec.observation_transform
    assert loaded.spec.observation_transform == before
    assert loaded.spec.provenance["refit"]["command"].startswith("distilled-envs refit swimmer")
    assert main([*command, f"--output={tmp_path / 'new'}"]) == 1
    assert "exists already" in capsys.readouterr().err
