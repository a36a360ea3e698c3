"""A run that begins with a guide: who learns from what, and where it ends."""

import dataclasses

import numpy as np
import pytest
import torch

from distilled_envs.errors import SettingsError
from distilled_envs.spec import TaskSpec
from distilled_envs.training import PRESETS, Settings, distill
from distilled_envs.training.backends import make_training_envs
from distilled_envs.training.meta_ppo import MetaPPO
from distilled_envs.training.run import checked_environment

CARTPOLE = dataclasses.replace(
    PRESETS["cartpole-nd-2d-min"],
    guided=0.5,
    threads=1,
    learners=4,
    horizon=16,
    minibatches=4,
    total_steps=4 * 8 * 16 * 60,
    eval_learners=2,
    eval_episodes=1,
)


def started(settings: Settings) -> MetaPPO:
    _, task = checked_environment(settings)
    torch.manual_seed(0)
    return MetaPPO(settings, make_training_envs(settings, 0), task)


def weights(run: MetaPPO) -> dict[str, list[torch.Tensor]]:
    parts = {"guide": run.guide, "encoder": run.encoder, "critic": run.critic, "batch": run.batch}
    return {name: [p.detach().clone() for p in part.parameters()] for name, part in parts.items()}


def same(some: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize("level", [0, 2, 4])
def test_the_guide_learns_in_its_share_of_the_run_only(level, tiny):
    run = started(dataclasses.replace(tiny, encoder_level=level, guided=0.5))
    before = weights(run)
    assert "from_guide" in run.iterate()
    between = weights(run)
    for name, part in before.items():
        moved = [not torch.equal(a, b) for a, b in zip(part, between[name], strict=True)]
        assert all(moved), name
    assert "from_guide" not in run.iterate()
    after = weights(run)
    assert torch.equal(after["guide"][0], between["guide"][0])  # biases move as it is centred
    assert not same(after["batch"], between["batch"])


def test_what_learners_answer_is_nothing_to_guide_and_encoder(tiny):
    """Not even through the rows, which are encoded too."""
    ends = []
    for factor in (1.0, -5.0):
        run = started(dataclasses.replace(tiny, guided=1.0))
        run.batch.targets.data *= factor
        run.iterate()
        ends.append(weights(run))
    for name in ("guide", "encoder", "critic"):
        assert same(ends[0][name], ends[1][name]), name
    assert not same(ends[0]["batch"], ends[1]["batch"])


def test_learners_come_to_play_as_the_guide_does():
    run = started(CARTPOLE)
    seen = [run.iterate() for _ in range(60)]
    followed = [m["from_guide"] for m in seen if "from_guide" in m]
    assert len(followed) == 30
    assert seen[29]["return"] > 1.5 * seen[0]["return"]
    fresh = MetaPPO(CARTPOLE, make_training_envs(CARTPOLE, 0), TaskSpec("categorical", (8,), 4))
    fresh.guide.load_state_dict(run.guide.state_dict())
    assert np.mean(followed[-5:]) < 0.5 * fresh.iterate()["from_guide"]


def test_an_interrupted_run_goes_on_with_its_guide(tmp_path, interrupted):
    settings = dataclasses.replace(CARTPOLE, total_steps=4 * 8 * 16 * 2, guided=1.0)
    whole = distill(settings, tmp_path / "whole", progress=False)
    interrupted(settings, tmp_path / "run")
    dataset = distill(settings, tmp_path / "run", resume=True, progress=False)
    assert torch.equal(dataset.observations, whole.observations)
    assert torch.equal(dataset.targets, whole.targets)


def test_a_run_has_one_to_follow():
    with pytest.raises(SettingsError, match="leave out one of them"):
        dataclasses.replace(CARTPOLE, teacher="cartpole_2d")
