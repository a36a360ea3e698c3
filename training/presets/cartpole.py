"""Presets of N-dimensional cart-pole: the paper's minimum size (N + 1 rows), and 64 rows."""

import dataclasses

from distilled_envs.training.settings import Settings, dataset_name

CARTPOLE_STEPS = {
    1: 6_000_000,
    2: 3_000_000,
    3: 5_000_000,
    4: 6_000_000,
    5: 6_000_000,
    6: 10_000_000,
    8: 15_000_000,
    10: 20_000_000,
}
"""Environment steps of a cart-pole run, by number of axes."""


def _cartpole(dims: int, minimum: bool) -> Settings:
    instances = dims + 1 if minimum else 64
    settings = Settings(
        name=dataset_name("CartPoleND-v0", instances, dims),
        env_id="CartPoleND-v0",
        dims=dims,
        instances=instances,
        total_steps=CARTPOLE_STEPS[dims],
        # With 64 rows the consistency loss costs no return, and lets other training use the rows.
        # N + 1 rows can't do both, and from 6 axes on a weight of 1 stops learning.
        consistency=0.1 if minimum else 1.0,
    )
    if dims > 1:
        return settings
    # With one axis learning stays near a return of 250, where the pole stands and the cart drifts
    # off the track, unless the horizon of advantages is as long as the drift.
    return dataclasses.replace(settings, learning_rate=2e-2, discount=0.995, gae_lambda=0.98)


CARTPOLE = tuple(_cartpole(dims, minimum) for dims in CARTPOLE_STEPS for minimum in (True, False))
