import numpy as np

from distilled_envs.evaluation.statistics import bootstrap_interval, interquartile_mean


def test_statistics_agree_with_their_definitions():
    units = np.array([0.0, 1.0, 2.0, 30.0])
    assert interquartile_mean(units) == 1.5
    low, high = bootstrap_interval(units)
    assert 0 <= low < units.mean() < high <= 30
    assert bootstrap_interval(units[:1]) is None
    assert bootstrap_interval(np.ones(3)) == (1.0, 1.0)
