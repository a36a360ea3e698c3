"""What a run has done, through checkpoints."""

import pytest

from distilled_envs.training.progress import Progress


def test_it_goes_through_a_checkpoint():
    done = Progress(1.5, 20)
    done.note(64, float("nan"))  # no episode has ended
    done.note(128, 1.0)
    state = {"algorithm": {}} | done.to_checkpoint()
    assert Progress.from_checkpoint(state) == done
    del state["returns"]  # from before it was kept
    assert Progress.from_checkpoint(state) == Progress(1.5, 20)


@pytest.mark.parametrize("count", [0, 1, 60, 1000])
def test_a_curve_has_its_ends_and_not_too_many_points(count):
    done = Progress(returns=[(64 * i, i / 3) for i in range(count)])
    curve = done.curve()
    assert len(curve["env_steps"]) == len(curve["return"]) == min(count, 60)
    if count:
        assert curve["env_steps"][0] == 0
        assert curve["env_steps"][-1] == 64 * (count - 1)
        assert curve["return"][-1] == round((count - 1) / 3, 2)
