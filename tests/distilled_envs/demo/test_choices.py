"""What visitors type and choose, and the sentences that refuse it."""

import re

import gymnasium as gym
import pytest

from distilled_envs.catalog import entries, find
from distilled_envs.demo.choices import EXPECTED, OWN, PRESETS, Network, expected, name_of, preset
from distilled_envs.demo.datasets import about, chosen, names
from distilled_envs.demo.networks import draw
from distilled_envs.errors import DatasetError, SettingsError

CARTPOLE = find("cartpole-nd-2d-min")


def network(layers: str = "64, 64", activation: str = "tanh", initialization: str = EXPECTED):
    return Network(layers, activation, initialization)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (network("1000000000"), "has 13,000,000,004 parameters"),
        (network("99999999999999999999"), "whole numbers from 1, such as 64, 64"),
        (network("64, -3"), "'-3' is none"),
        (network("0"), "'0' is none"),
        (network("sixty"), "'sixty' is none"),
        (network("8, " * 30), "up to 20 hidden layers, not 30"),
        (network(activation="step"), "Choose an activation: tanh, relu"),
        (network(initialization="zeros"), "Choose an initialization"),
    ],
)
def test_what_is_no_network_gets_a_sentence(asked, said):
    with pytest.raises(SettingsError, match=re.escape(said)):
        asked.check(CARTPOLE.spec)


def test_presets_fill_the_fields_and_are_known_by_them():
    spec = CARTPOLE.spec
    assert preset(EXPECTED, spec) == network()
    for name in PRESETS:
        preset(name, spec).check(spec)
        assert name_of(preset(name, spec), spec) == name
    assert name_of(network("31"), spec) == OWN


@pytest.mark.parametrize(
    ("name", "layers"),
    [("halfcheetah-encoder", ""), ("pong-level4", ""), ("pong-level3", "512")],
)
def test_behind_an_encoder_layers_are_a_learners_own(name, layers):
    assert expected(find(name).spec) == Network(
        layers, find(name).spec.learner.activation, EXPECTED
    )


def test_every_expected_network_is_small_enough():
    for entry in entries():
        expected(entry.spec).check(entry.spec)


@pytest.mark.parametrize("name", ["cartpole-nd-2d-min", "halfcheetah-encoder"])
def test_networks_are_as_asked_for_and_the_same_for_a_seed(name):
    from distilled_envs.dataset import DistilledDataset

    dataset = DistilledDataset.load(find(name).folder)
    for asked in (network("5, 7", "gelu", "Xavier"), network("", "relu"), network("9", "elu")):
        one, other = (draw(dataset, asked, 3) for _ in range(2))
        shapes = [tuple(each.shape) for each in one.parameters() if each.requires_grad]
        assert shapes[-1] == (dataset.spec.task.n_outputs,)
        assert len(shapes) == 2 * (len(asked.sizes) + 1)
        assert one(dataset.observations).equal(other(dataset.observations))
        assert not one(dataset.observations).equal(draw(dataset, asked, 4)(dataset.observations))


def test_a_game_keeps_its_convolutions(toy):
    drawn = draw(toy(1), Network("16", "silu", "orthogonal, all gains 1"), 0)
    kinds = [type(each).__name__ for each in drawn.modules()]
    assert kinds.count("Conv2d") == 3
    assert "SiLU" in kinds


def test_datasets_are_listed_and_described():
    assert names()[0].startswith("cartpole")
    assert sorted(names()) == sorted(entry.spec.name for entry in entries())
    assert chosen("Hopper-v5").spec.env.id == "Hopper-v5"
    assert "CartPoleND-v0 of 2 axes: 3 rows" in about(CARTPOLE)
    assert "CartPoleND-v0 of 1 axis: " in about(find("cartpole_1d"))
    for nothing in (None, "", "  "):
        with pytest.raises(DatasetError, match="No dataset is chosen"):
            chosen(nothing)
    with pytest.raises(DatasetError, match="There is no dataset 'foo' here"):
        chosen("foo")


def test_a_simulator_that_is_not_there_is_named(monkeypatch):
    def missing(*_, **__):
        raise gym.error.DependencyNotInstalled("mujoco is not installed")

    monkeypatch.setattr(gym, "make", missing)
    said = about(find("hopper-min"))
    assert "can be seen and trained on, but not played for" in said
    assert "[mujoco]" in said
