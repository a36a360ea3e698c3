"""The command ``completion``: what a shell can add to a line that is begun."""

import argparse
import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import shtab
import tyro

from distilled_envs.catalog import entries
from distilled_envs.cli import COMMANDS
from distilled_envs.cli.distill import distill_any
from distilled_envs.training import PRESETS, GameSettings

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: tyro.conf.Positional[Shell]) -> None:
    """Print what makes a shell complete commands, names of datasets, presets and flags.

    It belongs, once, in a file: for bash distilled-envs in
    ~/.local/share/bash-completion/completions, for zsh _distilled-envs in a folder of its fpath,
    for fish distilled-envs.fish in ~/.config/fish/completions.

    Args:
        shell: Which shell.
    """
    print(shtab.complete(_parser(), shell))


def _parser() -> argparse.ArgumentParser:
    """The command line as argparse has it, which is what shtab reads."""
    parser = argparse.ArgumentParser("distilled-envs")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers()
    datasets = [entry.spec.name for entry in entries()]
    for name, command in COMMANDS.items():
        module, function = command.home.split(":")
        flags = [*_flags(getattr(importlib.import_module(module), function))]
        if name == "distill":  # whose flags depend on what it is given
            flags += [*_flags(distill_any), *_flags_of("settings", GameSettings)]
        own = commands.add_parser(name, help=command.summary)
        if command.argument in ("NAME", "PRESET", "TEACHER"):
            known = [*PRESETS] if command.argument == "PRESET" else datasets
            own.add_argument("name", nargs="?", choices=known)
        elif name == "completion":
            own.add_argument("shell", nargs="?", choices=get_args(Shell))
        own.add_argument("--import", metavar="MODULE")
        for flag, takes_a_value in dict(flags).items():
            action: Any = own.add_argument(flag, action="store" if takes_a_value else "store_true")
            if takes_a_value:
                action.complete = shtab.FILE
    return parser


def _flags(function: Any) -> Iterator[tuple[str, bool]]:
    """Those of a command, from its parameters and from the fields of dataclasses among them.

    Yields:
        Each, and whether a value follows it.
    """
    types = get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        yield from _flags_of(parameter.name, types[parameter.name])


def _flags_of(name: str, kind: Any) -> Iterator[tuple[str, bool]]:
    marks = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    kind = get_args(kind)[0] if marks else kind
    if tyro.conf.Suppress in marks or tyro.conf.Positional in marks:
        return
    if dataclasses.is_dataclass(kind):
        for field, inner in get_type_hints(kind, include_extras=True).items():
            yield from _flags_of(field, inner)
        return
    for mark in marks:
        name = getattr(mark, "name", None) or name
    yield f"--{name.replace('_', '-')}", kind is not bool
    if kind is bool:
        yield f"--no-{name.replace('_', '-')}", False
