import json

import pytest

from distilled_envs import load_distilled
from distilled_envs.cli import main
from distilled_envs.spec import LearnerSpec
from distilled_envs.studies.generalization import SB3, families, generalize


def test_families_differ_in_one_thing_each():
    kinds = families(LearnerSpec())
    assert kinds["as distilled for"] == LearnerSpec()
    assert kinds["width 256"].hidden_sizes == (256, 256)
    assert kinds["depth 0"].hidden_sizes == ()
    assert kinds["depth 5"].hidden_sizes == (64,) * 5
    assert {"width 32", "width 128", "depth 1", "depth 3", "ReLU", "Xavier"} <= kinds.keys()
    assert "width 64" not in kinds
    assert "depth 2" not in kinds


def test_the_study_finds_what_the_step_is_for():
    results = generalize(load_distilled("cartpole_2d", instances="min"), learners=4, episodes=1)
    means = {name: scores["greedy"]["mean"] for name, scores in results["families"].items()}
    assert means["as distilled for"] == 500
    assert means[SB3] == 500
    assert means["width 256"] == 500
    assert means["PyTorch's default"] < 200


@pytest.mark.slow
def test_generalize_command(tmp_path, capsys):
    command = ["generalize", "cartpole_1d", "--learners=2", "--episodes=1", "--html"]
    assert main([*command, f"--output={tmp_path}"]) == 0
    assert "| SB3's MlpPolicy | 500.0" in capsys.readouterr().out
    assert json.loads((tmp_path / "results.json").read_text())["families"]["depth 0"]
    assert (tmp_path / "networks.svg").stat().st_size > 1000
    assert main(["generalize", "cartpole_1d", "--learners=0"]) == 1
