import json

import pytest
import torch
from torch import nn

from distilled_envs import load_distilled
from distilled_envs.cli import main
from distilled_envs.errors import SettingsError
from distilled_envs.spec import LearnerSpec
from distilled_envs.studies.generalization import (
    SB3,
    TRAININGS,
    families,
    generalize,
    networks,
    with_linear_layers,
    xavier_normal,
)
from distilled_envs.studies.generalization_report import generalization_table, read_results


def test_families_differ_in_one_thing_each():
    kinds = families(LearnerSpec())
    assert kinds["as distilled for"] == LearnerSpec()
    assert kinds["width 256"].hidden_sizes == (256, 256)
    assert kinds["depth 0"].hidden_sizes == ()
    assert kinds["depth 5"].hidden_sizes == (64,) * 5
    assert {"width 32", "width 128", "depth 1", "depth 3", "ReLU", "Xavier"} <= kinds.keys()
    assert "width 64" not in kinds
    assert "depth 2" not in kinds


def test_the_study_finds_which_way_serves_which_network():
    kinds = ("as distilled for", "PyTorch's default", "depth 4", "GELU", "LayerNorm", "LSTM", SB3)
    dataset = load_distilled("cartpole_2d", instances="min")
    results = generalize(dataset, learners=2, episodes=1, trainings=TRAININGS, kinds=kinds)
    means = {
        (kind, training): each[training]["greedy"]["mean"]
        for kind, each in results["families"].items()
        for training in TRAININGS
        if training in each
    }
    for kind in ("as distilled for", "depth 4", SB3):
        assert means[kind, "one step"] == 500
        assert results["families"][kind]["warned"] == 0
    for kind in ("PyTorch's default", "GELU", "LayerNorm", "LSTM"):
        assert means[kind, "one step"] < 250
        assert results["families"][kind]["warned"] == 1
        assert means[kind, "fit"] > 490
    for kind in ("PyTorch's default", "GELU"):
        assert means[kind, "initialize"] == 500
    assert ("LSTM", "initialize") not in means
    table = generalization_table(results)
    assert table[0] == ["networks", "one step", "initialize", "fit"]
    assert table[kinds.index("LSTM") + 1][2] == "-"


def test_bad_input_is_refused():
    dataset = load_distilled("cartpole_1d")
    with pytest.raises(SettingsError, match="no kind 'Transformer', only as distilled for"):
        generalize(dataset, kinds=("Transformer",))
    with pytest.raises(SettingsError, match="no training 'Adam', only one step, initialize, fit"):
        generalize(dataset, trainings=("Adam",))
    with pytest.raises(SettingsError, match="at least 1"):
        generalize(dataset, learners=0)
    with pytest.raises(SettingsError, match="for CNNs"):
        generalize(load_distilled("pong"))


def test_the_papers_variants():
    dataset = load_distilled("cartpole_2d", instances="min")
    learner = dataset.spec.learner
    kinds = networks(dataset)
    paper = [kind for kind in kinds if kind.endswith("(paper)")]
    assert paper == [
        "all gains 1 (paper)",
        "Xavier normal (paper)",
        "1 linear layer more (paper)",
        "2 linear layers more (paper)",
        "3 linear layers more (paper)",
    ]
    for kind in paper:
        assert kinds[kind](0)(dataset.observations).shape == dataset.targets.shape
    with torch.random.fork_rng():
        torch.manual_seed(0)
        deep, drawn = with_linear_layers(learner, 8, 4, 2), xavier_normal(learner, 8, 4)
    layers = [type(each).__name__ for each in deep]
    assert layers == ["Linear", "Tanh", "Linear", "Tanh", "Linear", "Linear", "Linear"]
    assert [each.out_features for each in deep if isinstance(each, nn.Linear)] == [64] * 4 + [4]
    hidden = drawn[2].weight  # (64, 64): variance gain^2 * 2 / (64 + 64)
    assert hidden.std().item() == pytest.approx((2 * 2 / 128) ** 0.5, rel=0.05)
    assert not drawn[2].bias.any()
    first, again = kinds["Xavier normal (paper)"](3), kinds["Xavier normal (paper)"](3)
    assert torch.equal(first[0].weight, again[0].weight)


def test_a_study_goes_on_where_it_stopped():
    dataset = load_distilled("cartpole_2d", instances="min")

    class Stopped(Exception):
        pass

    kept, started = {}, []

    def keep(results):
        kept.update(json.loads(json.dumps(results)))
        if len(started) == 1:
            raise Stopped

    study = {"learners": 2, "episodes": 1, "kinds": ("as distilled for", "depth 4")}
    with pytest.raises(Stopped):
        generalize(dataset, **study, keep=keep, progress=started.append)
    assert [*kept["families"]] == ["as distilled for"]
    results = generalize(dataset, **study, before=kept, progress=started.append)
    assert started == [
        "as distilled for, one step",
        "as distilled for, initialize",
        "depth 4, one step",
        "depth 4, initialize",
    ]
    again = generalize(dataset, **study, before=results, progress=started.append)
    assert again == results
    assert len(started) == 4
    with pytest.raises(SettingsError, match=r"another study .settings .*: write these to another"):
        generalize(dataset, learners=3, episodes=1, before=results)
    with pytest.raises(SettingsError, match=r"another study .dataset .*: write these to another"):
        generalize(load_distilled("cartpole_1d"), learners=2, episodes=1, before=results)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"dataset": 1}', "nonsense"])
def test_other_files_are_not_taken_for_results(tmp_path, text):
    assert read_results(tmp_path) is None
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(SettingsError, match="is no result of this study"):
        read_results(tmp_path)


@pytest.mark.slow
def test_generalize_command(tmp_path, capsys):
    command = ["generalize", "cartpole_1d", "--learners=2", "--episodes=1", "--html"]
    assert main([*command, f"--output={tmp_path}", "--kinds", "depth 0", SB3]) == 0
    assert "| SB3's MlpPolicy | 500.0" in capsys.readouterr().out
    assert json.loads((tmp_path / "results.json").read_text())["families"]["depth 0"]
    assert (tmp_path / "networks.svg").stat().st_size > 1000
    assert main(["generalize", "cartpole_1d", "--learners=0"]) == 1
