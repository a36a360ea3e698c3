"""Runs for several families of networks, and mirrored rows."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import SettingsError
from distilled_envs.learners.families import FAMILIES, of_family
from distilled_envs.spec import LearnerSpec
from distilled_envs.training import PRESETS, Settings, distill
from distilled_envs.training.meta_ppo import MetaPPO

TINY = Settings(
    name="cartpole-nd-1d-any",
    env_id="CartPoleND-v0",
    dims=1,
    instances=4,
    total_steps=6 * 5 * 2 * 16,
    threads=1,
    families=("pytorch", "xavier", "relu", "pytorch"),
    mirrored=True,
    observation_scale=1.0,
    learners=5,
    envs_per_learner=2,
    horizon=16,
    minibatches=2,
    eval_learners=3,
    eval_episodes=1,
)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"families": ("pytorch", "he")}, "families must be of orthogonal, .*relu, got he"),
        ({"families": ()}, "families must be of .* got none"),
        ({"families": tuple(FAMILIES), "learners": 4}, "learners=4 can't be divided among 5"),
        ({"instances": 3}, "mirrored needs .* an even number of instances, got 1.0 and 3"),
        ({"observation_scale": None}, "mirrored needs an observation_scale"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, sentence):
    with pytest.raises(SettingsError, match=sentence):
        dataclasses.replace(TINY, **changes)


def test_a_game_has_no_families():
    with pytest.raises(SettingsError, match="leave out families"):
        dataclasses.replace(PRESETS["pong-level4"], families=("pytorch",))


def test_networks_of_a_run_are_those_of_its_families():
    narrow = dataclasses.replace(TINY, hidden_sizes=(32,))
    assert narrow.learner == of_family(LearnerSpec(hidden_sizes=(32,)), "pytorch")
    assert [each.activation for each in narrow.networks] == ["tanh", "tanh", "relu", "tanh"]
    assert dataclasses.replace(TINY, families=("orthogonal",)).learner == LearnerSpec()


def test_every_iteration_draws_its_learners_anew_from_each_family(start):
    run = start(TINY)
    one, two = run.fresh_learners(), run.fresh_learners()
    assert [len(part) for part in one.parts] == [2, 1, 1, 1]
    for before, after in zip(one.parts, two.parts, strict=True):
        assert not torch.equal(before.parameters["0.weight"], after.parameters["0.weight"])


def test_rows_stay_mirrored(start):
    run = start(TINY)
    before = run.batch.targets.clone()
    for _ in range(2):
        run.iterate()
    for values in (run.batch.observations, run.batch.targets):
        first, second = values.chunk(2)
        assert torch.equal(first, -second)
    assert not torch.equal(run.batch.targets, before)
    assert run.view.transform().mean == (0.0,) * 4  # mirrored around 0 of the real observation


def test_a_resumed_run_of_families_equals_an_uninterrupted_one(tmp_path, monkeypatch):
    whole = distill(TINY, tmp_path / "whole", progress=False)
    original = MetaPPO.end_iteration

    def stop(algorithm, *args):
        metrics = original(algorithm, *args)
        if algorithm.iteration == 3:
            raise KeyboardInterrupt
        return metrics

    once = dataclasses.replace(TINY, checkpoint_seconds=0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MetaPPO, "end_iteration", stop)
        distill(once, tmp_path / "stopped", progress=False)
    resumed = distill(once, tmp_path / "stopped", resume=True, progress=False)
    assert torch.equal(whole.observations, resumed.observations)
    assert torch.equal(whole.targets, resumed.targets)
    assert whole.spec.evaluation == resumed.spec.evaluation
    assert [*whole.spec.evaluation] == ["one_step", "one_step_xavier", "one_step_relu"]
    assert whole.spec.families == ("pytorch", "xavier", "relu")
    assert (
        DistilledDataset.load(tmp_path / "whole" / "dataset").spec.families == whole.spec.families
    )


def test_a_run_that_is_older_than_families_goes_on(tmp_path):
    plain = dataclasses.replace(TINY, families=("orthogonal",), mirrored=False)
    short = dataclasses.replace(plain, total_steps=TINY.total_steps // 2)
    distill(short, tmp_path / "run", progress=False)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    for name in ("families", "mirrored"):
        del record["settings"][name]
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    longer = distill(plain, tmp_path / "run", resume=True, progress=False)
    assert longer.spec.provenance["env_steps"] > TINY.total_steps // 2


def test_coordinates_have_scales_of_their_own(start):
    plain = dataclasses.replace(TINY, dims=2)
    scaled = dataclasses.replace(plain, coordinate_scales=(0.25, 0.5, 1.0, 1.0))
    views = [start(settings).view for settings in (plain, scaled)]
    for view in views:
        view.normalizer.update(np.random.default_rng(0).normal(0, 2, (1000, 8)))
    stds = [torch.tensor(view.transform().std) for view in views]
    expected = torch.tensor([0.25, 0.5, 1.0, 1.0] * 2)
    torch.testing.assert_close(stds[0] / stds[1], expected)
    with pytest.raises(SettingsError, match="can't be repeated over"):
        start(dataclasses.replace(TINY, coordinate_scales=(0.5, 0.5, 1.0)))
    with pytest.raises(SettingsError, match="need an observation_scale"):
        dataclasses.replace(
            TINY, coordinate_scales=(0.5, 1.0), observation_scale=None, mirrored=False
        )
