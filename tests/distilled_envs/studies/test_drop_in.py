import pytest

from distilled_envs import load_distilled
from distilled_envs.studies.drop_in import PPO_STEPS, measure_drop_in, share_of_own


def test_shares_of_the_own_return():
    assert share_of_own(450, 500) == 0.9
    assert share_of_own(-8, -6) == 0.75  # a larger cost is worse
    assert share_of_own(-4, -6) == 1.5
    assert share_of_own(-1, 500) is None
    assert share_of_own(0, -6) is None


@pytest.mark.slow
def test_the_record_says_which_share_of_the_own_return_remains():
    assert PPO_STEPS == 100_000
    dataset = load_distilled("cartpole_2d", instances="min")
    record = measure_drop_in(dataset, seeds=1, episodes=2, adam_steps=10, ppo_steps=20_000)
    ppo = record["sb3_ppo_on_bandit"]
    assert ppo["steps"] == 20_000
    assert ppo["share_of_one_step"] == ppo["greedy"]["mean"] / 500
    assert ppo["share_of_one_step"] > 0.9
    assert record["adam_to_convergence"]["share_of_one_step"] < 0.5
    dataset.spec = dataset.spec.replace(evaluation={})
    record = measure_drop_in(dataset, seeds=1, episodes=1, adam_steps=1, ppo_steps=1)
    assert "share_of_one_step" not in record["sb3_ppo_on_bandit"]
