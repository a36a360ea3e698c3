"""Seeds that all generators and environments take."""

import operator

from distilled_envs.errors import SettingsError

_SEEDS = 2**63


def checked_seed(seed: int) -> int:
    """A seed as a plain integer.

    Raises:
        SettingsError: It is no whole number from 0 to 2**63 - 1.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < _SEEDS:
        raise SettingsError(f"A seed is a whole number from 0 to 2**63 - 1, got {seed!r}.")
    return number


def small_seed(seed: int) -> int:
    """A seed for libraries that take 31 bits, as EnvPool and ALE do, or 32.

    Copies side by side take the seeds that follow; there are a million.

    >>> small_seed(2_000_000_000), small_seed(2**31 + 5)
    (2000000000, 1048581)
    """
    return seed % (2**31 - 2**20)
