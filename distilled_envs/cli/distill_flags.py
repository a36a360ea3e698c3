"""Which settings the flags of ``distill`` start from: a preset's, an environment's, or a run's."""

import dataclasses
import difflib
import inspect
import json
import sys
from collections.abc import Callable
from functools import partial
from inspect import Parameter
from typing import Any

import gymnasium as gym
import tyro

from distilled_envs import training
from distilled_envs.cli.distill import distill, distill_any, named, usual_folder
from distilled_envs.envs import atari
from distilled_envs.envs.registering import likely_module
from distilled_envs.errors import SettingsError
from distilled_envs.records import read_json
from distilled_envs.storage.files import given_path
from distilled_envs.training import PRESETS, AutomaticSettings, GameSettings, Settings
from distilled_envs.training.setting_groups import GROUPS

ALIASES = {
    "--normalise-rewards": "--normalize-rewards",
    "--no-normalise-rewards": "--no-normalize-rewards",
}
"""Flags as they were spelled before, which still work."""


def with_preset(
    arguments: list[str], registry: Any = None
) -> tuple[Callable[..., None], str, list[str]]:
    """Prepare :func:`.distill.distill` for what is named first in its arguments.

    Args:
        arguments: All of the command's.
        registry: What tyro must know beside types of its own.

    Returns:
        The command with that preset's settings as defaults, or those of the run that goes on; what
        was named; and the flags.
    """
    wanted, flags = None, arguments
    if arguments and not arguments[0].startswith("-"):
        wanted, *flags = arguments
    if wanted is None:
        if not {"-h", "--help"} & set(flags):
            raise SettingsError(f"distill needs the name of a preset first:\n{_presets()}")
        print(
            "usage: distilled-envs distill PRESET [flags]\n"
            "       distilled-envs distill GYMNASIUM_ID [flags]   by what it needs; with flags of\n"
            "                                                     meta-PPO by that, untuned\n\n"
            f"presets:\n{_presets()}\n"
        )
        wanted = "cartpole-nd-2d-min"
    settings = _settings(wanted, flags)
    flags = [_as_spelled_now(flag) for flag in flags]
    started: Settings | AutomaticSettings = settings
    if _preset(wanted) is None and _leaves_it_open(settings, flags):
        started = AutomaticSettings(settings.env_id, settings.env_kwargs)
    # A game's own settings stay out of the help of other presets, and yet are flags of all.
    elif not isinstance(settings, GameSettings) and _names_game_settings(flags):
        started = GameSettings(**vars(settings))
    preset = getattr(started, "name", "")
    if "--resume" in flags and not {"-h", "--help"} & set(flags):
        before = _of_run(started, preset, flags, registry)
        if before is not None and before.env_id != started.env_id:
            raise SettingsError(
                f"The run that goes on is of {before.env_id}, not of {started.env_id}: name what "
                "it was started with, or another --output."
            )
        started, preset = (started, preset) if before is None else (before, "")
    if isinstance(started, AutomaticSettings):
        return partial(distill_any, settings=started), wanted, flags
    return partial(_in_groups(distill, started), preset=preset), wanted, flags


def _in_groups(command: Callable[..., None], settings: Settings) -> Callable[..., None]:
    """A command whose flags are shown in groups, those of the settings' base classes.

    Args:
        command: It takes ``settings``.
        settings: The defaults of its flags.
    """
    groups = {name: group for name, group in GROUPS.items() if isinstance(settings, group)}

    def grouped(**given: Any) -> None:
        values: dict[str, Any] = {}
        for name in groups:
            values |= vars(given.pop(name))
        try:
            chosen = type(settings)(**values)
        except SettingsError as error:
            print(f"distilled-envs distill: {error}", file=sys.stderr)
            sys.exit(2)
        command(chosen, **given)

    parameters = inspect.signature(command).parameters.values()
    shown = [each for each in parameters if each.name != "settings"]
    for name, group in groups.items():
        default = group(**{each: getattr(settings, each) for each in _fields(group)})
        kind: Any = tyro.conf.OmitArgPrefixes
        shown.append(
            Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind[group])
        )
    typed: Any = grouped  # tyro reads flags from these
    typed.__signature__ = inspect.Signature(shown)
    typed.__annotations__ = {each.name: each.annotation for each in shown}
    typed.__doc__, typed.__module__ = command.__doc__, command.__module__
    return grouped


def _of_run(
    settings: Settings | AutomaticSettings, preset: str, flags: list[str], registry: Any
) -> Settings | AutomaticSettings | None:
    """The settings of the run that goes on, which flags change and do not have to repeat.

    Args:
        settings: What flags would start from otherwise, which say where the run is.
        preset: The name before flags changed the settings.
        flags: All.
        registry: What tyro must know beside types of its own.

    Returns:
        They; None where there is no such run, or of another version, of which the command tells.
    """
    given, others = tyro.cli(
        type(settings), args=flags, default=settings, registry=registry, return_unknown_args=True
    )
    where = _value("--output", others)
    if where is None:
        folder = usual_folder(named(given, preset) if isinstance(given, Settings) else given)
    else:
        folder = given_path(where)
    try:
        record = read_json((folder / "run.json").read_text(encoding="utf-8"))
        kind: type[Settings | AutomaticSettings] = AutomaticSettings
        values = record.get("automatic")
        if values is None:
            values = record["settings"]
            kind = GameSettings if values.keys() - _fields(Settings) else Settings
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return kind(**values | lists)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None


def _presets() -> str:
    return "\n".join(
        f"  {name:22} {settings.instances:3} rows, {settings.total_steps / 1e6:g}M steps"
        for name, settings in PRESETS.items()
    )


def _preset(wanted: str) -> str | None:
    """The preset that is meant, however it is spelled."""
    by_plain = {name.replace("-", ""): name for name in PRESETS}
    return by_plain.get(wanted.lower().replace("-", "").replace("_", ""))


def _settings(wanted: str, flags: list[str]) -> Settings:
    """The settings of a preset, or untuned ones for an environment."""
    if wanted.startswith("ALE/"):
        atari.register(wanted)
    preset = _preset(wanted)
    if preset is not None:
        return PRESETS[preset]
    if wanted in gym.registry or ":" in wanted or likely_module(wanted):
        return training.for_environment(wanted, _arguments(flags))
    near = difflib.get_close_matches(wanted, [*PRESETS, *gym.registry], n=3, cutoff=0.4)
    raise SettingsError(
        f"There is no preset and no registered environment {wanted!r}; the nearest: "
        f"{', '.join(near) or 'none'} (`distilled-envs distill --help` lists the presets). An "
        f"environment of your own is named with its module, as in my_envs:{wanted}."
    )


def _arguments(flags: list[str]) -> dict[str, Any]:
    """The environment's arguments among flags, which decide what it shows; tyro reads them anew."""
    try:
        arguments = json.loads(_value("--env-kwargs", flags) or "{}")
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


def _value(name: str, flags: list[str]) -> str | None:
    """What stands after a flag, the last time that it is given; None if it is not."""
    given = None
    for place, flag in enumerate(flags):
        spelled, equals, value = flag.partition("=")
        if spelled.replace("_", "-") == name:
            given = value if equals else "".join(flags[place + 1 : place + 2])
    return given


def _as_spelled_now(argument: str) -> str:
    flag, equals, value = argument.partition("=")
    return ALIASES.get(flag.replace("_", "-"), flag) + equals + value


def _names_game_settings(flags: list[str]) -> bool:
    """Whether one of the flags is a setting that only :class:`GameSettings` have."""
    return _names_any(_fields(GameSettings) - _fields(Settings), flags)


def _leaves_it_open(settings: Settings, flags: list[str]) -> bool:
    """Whether an environment of vectors, or an Atari game, is named without one of meta-PPO's."""
    own = _fields(GameSettings) - _fields(AutomaticSettings)
    pictures = isinstance(settings, GameSettings) and not atari.is_game(settings.env_id)
    return not pictures and not _names_any(own, flags)


def _fields(settings: type) -> set[str]:
    return {field.name for field in dataclasses.fields(settings)}


def _names_any(own: set[str], flags: list[str]) -> bool:
    plain = {
        flag.partition("=")[0].replace("-", "_").strip("_")
        for flag in flags
        if flag.startswith("--")
    }
    return not own.isdisjoint(plain | {name.removeprefix("no_") for name in plain})
