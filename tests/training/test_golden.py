"""Short runs give what they gave: a change of the code that is none of the algorithm shows here."""

import dataclasses
from importlib.metadata import version

import pytest
import torch

from distilled_envs.loading import load_distilled
from distilled_envs.training import PRESETS, GameSettings

WITH = {"torch": "2.13.0", "mujoco": "4.0.0", "ale-py": "0.12.1"}
"""What the numbers below were made with; random numbers and physics are theirs."""
SMALL = {
    "learners": 2, "envs_per_learner": 2, "horizon": 8, "minibatches": 2, "epochs": 2, "threads": 1,
}  # fmt: skip
STEPS = 2 * 2 * 8
CARTPOLE = dataclasses.replace(
    PRESETS["cartpole-nd-2d-64"], **SMALL, total_steps=3 * STEPS, instances=3, consistency=0.1
)
GUIDED_CARTPOLE = GameSettings(**vars(CARTPOLE), guide_share=0.5)
PONG = {"guide_share": 0.0, "total_steps": 2 * STEPS}
CASES = {
    "cart-pole": CARTPOLE,
    "cart-pole, in the limit": dataclasses.replace(
        PRESETS["cartpole-nd-2d-min"], **SMALL, total_steps=3 * STEPS
    ),
    "cart-pole, with a teacher": dataclasses.replace(CARTPOLE, teacher="cartpole-nd-2d-64"),
    "cart-pole, guided": GUIDED_CARTPOLE,
    "hopper": dataclasses.replace(
        PRESETS["hopper-64"], **SMALL, total_steps=3 * STEPS, use_envpool=False
    ),
    "ant": dataclasses.replace(
        PRESETS["ant-64"], **SMALL, total_steps=3 * STEPS, use_envpool=False
    ),
    "pong": dataclasses.replace(PRESETS["pong-level4"], **SMALL, **PONG),
    "pong, with a teacher": dataclasses.replace(PRESETS["pong-level3"], **SMALL, **PONG),
    "pong, guided": dataclasses.replace(
        PRESETS["pong-level4"], **SMALL, guide_share=0.5, total_steps=2 * STEPS
    ),
}
GOLDEN = {
    "cart-pole": [0.8444136, 0.9276756, 0.9267269, 0.0, 655.8034],
    "cart-pole, in the limit": [1.023365, 0.9084501, 0.1359655, 0.0, 103292.8],
    "cart-pole, with a teacher": [0.7320648, 0.6397345, 0.9232435, 0.0, 656.2932],
    "cart-pole, guided": [0.8397499, 0.9013819, 0.905434, 0.0, 655.6554],
    "hopper": [0.2, 0.9972978, 0.97847, 0.0, 680.0524],
    "ant": [0.2, 0.961624, 1.056437, 0.0, 824.0444],
    "pong": [0.4110925, 0.9542091, 0.03014307, 77643.25, 0.2333167],
    "pong, with a teacher": [0.4110955, 0.7599665, 0.09983279, 68929.50, 32672.61],
    "pong, guided": [0.4110794, 0.9517077, 0.0297754, 77640.39, 0.2737293],
}
"""Root mean squares of rows and targets, inner learning rate, sums of absolute weights of the view
and of the critic."""


@pytest.mark.parametrize("name", CASES)
def test_short_runs_give_what_they_gave(name, start):
    if any(version(package).split("+")[0] != made for package, made in WITH.items()):
        pytest.skip(f"The numbers are those of {WITH}.")
    settings = CASES[name]
    source = None if settings.teacher is None else load_distilled(settings.teacher)
    run = start(settings, source)
    for _ in range(settings.iterations):
        run.iterate()
    size = [each.double().square().mean().sqrt() for each in (run.batch.rows, run.batch.targets)]
    shared = sum(each.double().abs().sum() for each in run.view.parameters())
    critic = sum(each.double().abs().sum() for each in run.critic.parameters())
    got = [*size, run.batch.learning_rate, shared, critic]
    assert [each.item() for each in map(torch.as_tensor, got)] == pytest.approx(
        GOLDEN[name], rel=1e-4
    )
