"""What the page answers, without a browser."""

import re

import gymnasium as gym
import pytest

from distilled_envs.catalog import entries, find
from distilled_envs.demo import answers, film
from distilled_envs.demo.choices import Network, preset
from distilled_envs.demo.comparison import comparison_page
from distilled_envs.demo.datasets import DEFAULT, chosen
from distilled_envs.demo.rows import rows_page

RELU = Network("32", "relu", "as PyTorch draws it")


@pytest.fixture
def short_films(monkeypatch):
    monkeypatch.setattr(film, "SECONDS", 0.2)


def text(page: str) -> str:
    return re.sub(r"<[^>]*>", "", page)


@pytest.mark.parametrize("way", ["one step", "initialize, one step"])
def test_a_click_gives_words_then_returns_then_films(way, short_films):
    network = preset("as the dataset expects", chosen(DEFAULT).spec)
    said = [*answers.play(DEFAULT, network, way)]
    assert len(said) == 3
    assert "loss on the rows goes from" in text(said[0].said)
    assert said[0].returns == said[0].films == said[1].films == ""
    assert "500.0 after" in text(said[1].said)
    assert said[1].returns.count("<circle") == 20
    assert "random play" in said[1].returns
    assert "solved from 475" in said[1].returns
    assert said[2].films.count("data:video/mp4;base64,") == 2


def test_fit_tells_of_each_network(short_films, monkeypatch):
    monkeypatch.setattr(answers.ways, "NETWORKS", 3)
    said = [each.said for each in answers.play("cartpole_1d", RELU, "fit")]
    assert ["1 of 3 networks" in said[0], "2 of 3 networks" in said[1]] == [True, True]
    assert "<b>500.0 after</b>" in said[-1]


def test_a_diagnosis_says_what_to_do():
    own = preset("as the dataset expects", chosen(DEFAULT).spec)
    assert "This network learns from one step" in answers.diagnosis(DEFAULT, own)
    bad = answers.diagnosis(DEFAULT, RELU)
    assert "does not learn from one step" in bad
    assert "Initialize it first, or fit it." in bad


@pytest.mark.parametrize(
    ("name", "network", "said"),
    [
        (DEFAULT, Network("1000000000", "tanh", "Xavier"), "has 13,000,000,004 parameters"),
        ("", RELU, "No dataset is chosen"),
        (None, RELU, "No dataset is chosen"),
        ("<script>", RELU, "There is no dataset &#x27;&lt;script&gt;&#x27;"),
    ],
)
def test_bad_input_gets_a_sentence(name, network, said):
    assert said in answers.diagnosis(name, network)
    (only,) = answers.play(name, network, "one step")
    assert said in only.said


def test_what_nobody_has_foreseen_gets_a_sentence_too(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("the moon is full")

    monkeypatch.setattr(answers.ways, "returns", fail)
    *_, last = answers.play(DEFAULT, RELU, "one step")
    assert "loss on the rows" in last.said
    assert "nobody has foreseen: the moon is full" in last.said


def test_without_a_simulator_the_step_is_taken_and_the_rest_is_a_sentence(monkeypatch):
    def missing(*_, **__):
        raise gym.error.DependencyNotInstalled("mujoco is not installed")

    monkeypatch.setattr(gym, "make", missing)
    network = preset("as the dataset expects", find("hopper-min").spec)
    *_, last = answers.play("hopper-min", network, "one step")
    assert "loss on the rows goes from" in last.said
    assert "[mujoco]" in last.said


def test_a_game_is_not_fitted_on_a_page():
    network = preset("as the dataset expects", find("pong-level4").spec)
    (only,) = answers.play("pong-level4", network, "fit")
    assert "too long for a page" in only.said


def test_rows_are_pictures_of_all_kinds():
    cartpole = rows_page(find(DEFAULT))
    assert "All of its 3 rows" in cartpole
    assert cartpole.count("<img") == 3
    assert cartpole.count("<svg") == 6
    normalized = rows_page(find("cartpole-nd-2d-any"))
    assert "The first 12 of its 16 rows" in normalized
    pong = rows_page(find("pong-level4"))
    assert "The first 12 of its 16 rows" in pong
    assert "a stack of four frames" in pong
    assert pong.count("<img") == 12
    assert rows_page(find("ant-min")).count("<svg") == 18


def test_the_comparison_is_of_all_datasets():
    for entry in entries():
        assert "one gradient step" in comparison_page(entry)
    page = text(comparison_page(find(DEFAULT)))
    assert "as good as the one step after 60,000 steps" in page
    assert "<svg" in comparison_page(find("hopper-min"))  # PPO was measured beside another
    assert "as good as" not in text(comparison_page(find("hopper-min")))
    assert "distilled-envs compare swimmer-min" in comparison_page(find("swimmer-min"))
