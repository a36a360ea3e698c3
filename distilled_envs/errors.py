"""The errors a user can mend: one sentence each, of what was wrong, where, and how to mend it."""

from distilled_envs.installation import install_command


class DistilledEnvsError(Exception):
    """Base of every error this package raises on purpose."""


class DatasetError(DistilledEnvsError, ValueError):
    """A distilled dataset is damaged, unknown, or does not fit what it is used with."""


class PolicyError(DistilledEnvsError, ValueError):
    """A policy can't be trained on, or played with, a distilled dataset."""


class OneStepWarning(UserWarning):
    """A network does not learn from one step of a dataset; the message says what to do instead."""


class FitWarning(UserWarning):
    """A network was fitted, and yet is far from what the pairs say."""


class SettingsError(DistilledEnvsError, ValueError):
    """Settings or arguments that contradict each other or the environment."""


class FaultyEnvError(DistilledEnvsError, RuntimeError):
    """An environment fails, or gives what none of its spaces holds."""


class DivergedError(DistilledEnvsError, ArithmeticError):
    """A run whose numbers are no longer finite, or whose policies jump."""


class RankError(DistilledEnvsError, RuntimeError):
    """Of several processes that share a run, another one has ended, or they find no others."""


class StorageError(DistilledEnvsError, OSError):
    """A file or a folder can't be written: the disk is full, read-only, or used by another run."""


class HubError(DistilledEnvsError, OSError):
    """The Hugging Face Hub can't be reached, lacks what was asked for, or refuses it."""


class HubUnreachableError(HubError):
    """There is no way to the Hub now, and the cache lacks what was asked for."""


class MissingExtraError(DistilledEnvsError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, purpose: str, extra: str):
        command = install_command(extra)
        super().__init__(f"{purpose} needs {package}: run `{command}`.")
