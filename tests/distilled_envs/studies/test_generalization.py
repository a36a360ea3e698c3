import json

import pytest

from distilled_envs import load_distilled
from distilled_envs.cli import main
from distilled_envs.errors import SettingsError
from distilled_envs.spec import LearnerSpec
from distilled_envs.studies.generalization import (
    SB3,
    TRAININGS,
    families,
    generalization_table,
    generalize,
)


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
    results = generalize(dataset, learners=2, episodes=1, fit=True, kinds=kinds)
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
    with pytest.raises(SettingsError, match="at least 1"):
        generalize(dataset, learners=0)
    with pytest.raises(SettingsError, match="for CNNs"):
        generalize(load_distilled("pong"))


@pytest.mark.slow
def test_generalize_command(tmp_path, capsys):
    command = ["generalize", "cartpole_1d", "--learners=2", "--episodes=1", "--html"]
    assert main([*command, f"--output={tmp_path}", "--kinds", "depth 0", SB3]) == 0
    assert "| SB3's MlpPolicy | 500.0" in capsys.readouterr().out
    assert json.loads((tmp_path / "results.json").read_text())["families"]["depth 0"]
    assert (tmp_path / "networks.svg").stat().st_size > 1000
    assert main(["generalize", "cartpole_1d", "--learners=0"]) == 1
