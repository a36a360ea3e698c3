import json

import pytest
import torch

from distilled_envs import load_distilled
from distilled_envs.cli import main
from distilled_envs.learners.networks import initial_parameters
from distilled_envs.spec import InitializationSpec, LearnerSpec
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


@pytest.mark.parametrize("kind", ["xavier", "pytorch"])
def test_initializations_are_torchs(kind):
    learner = LearnerSpec(initialization=InitializationSpec(kind), hidden_sizes=(50,))
    ours = initial_parameters(learner, (20,), 3, 400, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    for place, (n_in, n_out) in (("0", (20, 50)), ("2", (50, 3))):
        layers = [torch.nn.Linear(n_in, n_out) for _ in range(400)]
        if kind == "xavier":
            for layer in layers:
                torch.nn.init.xavier_uniform_(layer.weight)
                torch.nn.init.zeros_(layer.bias)
        for name in ("weight", "bias"):
            theirs = torch.stack([getattr(layer, name).detach() for layer in layers])
            mine = ours[f"{place}.{name}"]
            assert mine.shape == theirs.shape
            torch.testing.assert_close(mine.std(), theirs.std(), rtol=0.05, atol=1e-6)
            torch.testing.assert_close(mine.abs().max(), theirs.abs().max(), rtol=0.02, atol=1e-6)


def test_the_study_finds_what_the_step_is_for():
    results = generalize(load_distilled("cartpole_2d", instances="min"), learners=4, episodes=1)
    means = {name: scores["greedy"]["mean"] for name, scores in results["families"].items()}
    assert means["as distilled for"] == 500
    assert means[SB3] == 500
    assert means["width 256"] == 500
    assert means["PyTorch's default"] < 200


def test_generalize_command(tmp_path, capsys):
    command = ["generalize", "cartpole_1d", "--learners=2", "--episodes=1", "--html"]
    assert main([*command, f"--output={tmp_path}"]) == 0
    assert "| SB3's MlpPolicy | 500.0" in capsys.readouterr().out
    assert json.loads((tmp_path / "results.json").read_text())["families"]["depth 0"]
    assert (tmp_path / "networks.svg").stat().st_size > 1000
    assert main(["generalize", "cartpole_1d", "--learners=0"]) == 1
