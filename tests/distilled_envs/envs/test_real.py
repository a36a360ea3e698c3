import pytest

from distilled_envs.catalog import entries
from distilled_envs.envs.real import env_spaces, make_env


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, id=entry.spec.name, marks=[] if entry.dims else [pytest.mark.slow])
        for entry in entries()
    ],
)
def test_bundled_spaces_are_those_of_the_real_environment(entry):
    env = make_env(entry.spec)
    env.close()
    assert entry.spec.spaces is not None
    for known in (entry.spec.spaces, env_spaces(entry.spec.replace(spaces=None))):
        for before, after in (
            (env.observation_space, known.observation),
            (env.action_space, known.action),
        ):
            assert before == after
            if hasattr(before, "low"):
                assert before.dtype == after.dtype
                assert (before.low == after.low).all()
                assert (before.high == after.high).all()
