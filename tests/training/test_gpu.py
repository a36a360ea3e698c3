"""Distillation on a GPU: what it learns is what a processor learns."""

import dataclasses

import pytest
import torch

from distilled_envs.training import distill
from distilled_envs.training.backends import make_training_envs
from distilled_envs.training.run import make_algorithm
from distilled_envs.training.world import world_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here"),
]


@pytest.mark.parametrize("limit_share", [0.0, 0.9])
def test_thousands_of_learners_move_the_rows_as_on_a_processor(short_run, limit_share):
    settings = dataclasses.replace(
        short_run, learners=2048, total_steps=4 * 2048 * 2 * 16, limit_share=limit_share
    )
    world, moves = world_of(settings.env_id, settings.make_kwargs), {}
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        env = make_training_envs(settings, world, 0)
        there = dataclasses.replace(settings, device=device)
        algorithm = make_algorithm(there, env, world.task, 0)
        before = [each.detach().cpu().clone() for each in algorithm.batch.parameters()]
        algorithm.iterate()
        assert {each.device.type for each in algorithm.batch.parameters()} == {device}
        moved = zip(algorithm.batch.parameters(), before, strict=True)
        moves[device] = torch.cat([(now.detach().cpu() - was).flatten() for now, was in moved])
        env.close()
    # Sums in another order change the actions of a few learners.
    own, other = moves["cpu"], moves["cuda"]
    assert own.norm() > 0
    assert (own - other).norm() < 0.2 * own.norm()


@pytest.mark.slow
@pytest.mark.parametrize("guide_share", [0.0, 0.5])
def test_a_game_is_distilled_and_goes_on(tiny, tmp_path, guide_share):
    tiny = dataclasses.replace(tiny, device="cuda", guide_share=guide_share)
    distill(tiny, tmp_path / "run", progress=False)
    longer = dataclasses.replace(tiny, total_steps=2 * tiny.total_steps)
    dataset = distill(longer, tmp_path / "run", resume=True, progress=False)
    assert dataset.spec.provenance["env_steps"] == longer.total_steps
    assert dataset.observations.device.type == "cpu"
