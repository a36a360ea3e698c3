"""Datasets and scores as a notebook shows them, and as tools of others take them."""

import base64
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import gymnasium as gym
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from distilled_envs import load_distilled
from distilled_envs.dataset import DistilledDataset
from distilled_envs.summary import facts

NAMES = ("cartpole-nd-2d-min", "humanoid-64", "pendulum-encoder", "pong-level4")


class Checked(HTMLParser):
    """Follows tags, and finds those that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("kind", ["bundled", "folder", "memory"])
@pytest.mark.parametrize("name", ["cartpole-nd-1d-min", "cartpole-nd-2d-64", "frozenlake-min"])
def test_the_id_that_is_told_deals_that_dataset(name, kind, tmp_path):
    dataset = load_distilled(name)
    if kind == "folder":
        dataset.save(tmp_path / "mine")
        dataset = load_distilled(tmp_path / "mine")
    if kind == "memory":
        dataset = DistilledDataset(
            dataset.observations, dataset.targets, dataset.spec, dataset.encoder
        )
    told = dict(facts(dataset.spec, len(dataset), dataset.source))["in Gymnasium"]
    made = eval(told.replace(")", ", expand=0)"), {"gym": gym, "dataset": dataset})
    shown = {tuple(made.reset(seed=0, options={"index": row})[0]) for row in range(len(dataset))}
    assert shown == {tuple(row) for row in dataset.observations.tolist()}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_shows_what_a_dataset_is(name):
    dataset = load_distilled(name)
    text = dataset._repr_html_()
    seen = Checked(text).seen
    assert name in text
    assert dataset.spec.env.id in text
    assert len(text) < 700_000
    if dataset.observations.dim() == 4:
        content = re.search(r"base64,([^\"]+)", text).group(1)
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
        assert (image[:, :84] == dataset.observations[0, -1].numpy()).all()
    else:
        svg = ElementTree.fromstring(re.search("<svg.*</svg>", text).group(0))
        shown = [min(size, 64) for size in (*dataset.observations.shape, dataset.targets.shape[1])]
        assert len(svg) == shown[0] * (shown[1] + shown[2])
        assert seen.count("rect") == len(svg)


def test_the_largest_number_is_darkest_and_zero_is_white(dataset):
    dataset.observations.zero_()
    dataset.observations[0, 0], dataset.observations[1, 0] = 2.0, -1.0
    svg = ElementTree.fromstring(re.search("<svg.*</svg>", dataset._repr_html_()).group(0))
    colors = [each.get("fill") for each in svg]
    assert colors[0] == "#ff0000"
    assert colors[dataset.observations.shape[1]] == "#8080ff"
    assert colors[1] == "#ffffff"


def test_nothing_that_a_file_says_is_markup(dataset):
    dataset.spec = dataset.spec.replace(
        name="<script>alert(1)</script>", provenance={"command": '"><img src=x onerror=alert(1)>'}
    )
    text = dataset._repr_html_()
    assert "<script" not in text
    assert "<img" not in text


def test_scores_are_one_line_and_a_small_table(dataset):
    for evaluation in (
        dataset.evaluate(learners=3, episodes=2),
        dataset.evaluate(dataset.new_policy(seed=0), episodes=2),
    ):
        assert repr(evaluation).count("\n") == 0
        assert len(repr(evaluation)) < 120
        assert f"{evaluation.greedy.mean:.1f}" in repr(evaluation)
        seen = Checked(evaluation._repr_html_()).seen
        assert seen.count("tr") == 2


@pytest.mark.parametrize("name", NAMES)
def test_tools_take_a_dataset_as_it_is(name):
    dataset = load_distilled(name)
    pairs = TensorDataset(*dataset)
    assert len(pairs) == len(dataset)
    observations, targets = dataset
    assert observations is dataset.observations
    assert torch.equal(dataset[1][1], targets[1])
    assert torch.equal(dataset[-2:][0], observations[-2:])
    with pytest.raises(IndexError):
        dataset[len(dataset)]
    batches = [*DataLoader(dataset, batch_size=2)]
    assert torch.equal(torch.cat([seen for seen, _ in batches]), observations)
    assert torch.equal(torch.cat([wanted for _, wanted in batches]), targets)


@pytest.mark.parametrize("name", NAMES)
def test_hugging_face_takes_a_dataset_as_it_is(name):
    dataset = load_distilled(name)
    table = dataset.to_hf().with_format("numpy")
    assert np.array_equal(table["observation"][:], dataset.observations.numpy())
    assert np.array_equal(table["target"][:], dataset.targets.numpy())
