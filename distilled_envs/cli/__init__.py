"""The command ``distilled-envs``.

A command is one typed function, from which tyro makes flags and help. It is imported when it is
called, so that ``list`` does not wait for torch, nor ``--help`` for anything.
"""

import codecs
import importlib
import io
import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from distilled_envs import __version__
from distilled_envs.envs.registering import import_module
from distilled_envs.errors import DistilledEnvsError, MissingExtraError, SettingsError
from distilled_envs.formatting import in_a_line


class Command(NamedTuple):
    """One line of the help.

    Attributes:
        home: Module and function.
        argument: What comes first after the command's name.
        summary: What it does.
    """

    home: str
    argument: str
    summary: str


COMMANDS = {
    "list": Command(
        "distilled_envs.cli.share:list_datasets",
        "",
        "the datasets that come with the package, or, with --hub, on the Hub",
    ),
    "show": Command(
        "distilled_envs.cli.share:show",
        "NAME",
        "what a dataset says of itself, its rows, and its card",
    ),
    "evaluate": Command(
        "distilled_envs.cli.evaluate:evaluate",
        "NAME",
        "train fresh learners, one gradient step each, and play for real",
    ),
    "compare": Command(
        "distilled_envs.cli.compare:compare",
        "NAME",
        "set it beside Stable-Baselines3: returns, steps, seconds",
    ),
    "generalize": Command(
        "distilled_envs.cli.compare:generalize",
        "NAME",
        "try networks that it was not distilled for",
    ),
    "distill": Command(
        "distilled_envs.cli.distill:distill",
        "PRESET",
        "make a dataset from scratch; PRESET (by meta-PPO) or any Gymnasium id",
    ),
    "imitate": Command(
        "distilled_envs.cli.distill:imitate",
        "TEACHER",
        "make a dataset of any policy: a model of SB3, a linear policy, a function",
    ),
    "search": Command(
        "distilled_envs.cli.distill:search",
        "--env-id ID",
        "search for the best linear policy, of which imitate makes a dataset",
    ),
    "refit": Command(
        "distilled_envs.cli.distill:refit",
        "NAME",
        "find rows for the same behavior that other training can use too",
    ),
    "publish": Command(
        "distilled_envs.cli.share:publish",
        "NAME",
        "put a dataset on the Hugging Face Hub",
    ),
    "watch": Command(
        "distilled_envs.cli.watch:watch",
        "NAME",
        "train a learner and show it acting, in a window or as a video",
    ),
    "completion": Command(
        "distilled_envs.cli.completion:completion",
        "SHELL",
        "what makes bash, zsh or fish complete names and flags",
    ),
    "demo": Command(
        "distilled_envs.cli.demo:demo",
        "",
        "a page to try it all, in the browser",
    ),
    "space": Command(
        "distilled_envs.cli.demo:space",
        "--repo REPO",
        "put that page on the Hugging Face Hub, as a Space",
    ),
}

_KEEP_THEIR_LINE = ("distill", "imitate", "refit", "compare", "generalize")
"""Commands whose datasets and reports tell the line that made them."""

_LINES = "\n".join(
    f"  {f'{name} {each.argument}':20} {each.summary}" for name, each in COMMANDS.items()
)

HELP = f"""\
usage: distilled-envs COMMAND ...

Reinforcement-learning environments distilled into one-batch supervised datasets.

commands:
{_LINES}

`distilled-envs COMMAND --help` explains each, and each takes `--import MODULE`, for
environments that a module of yours registers; NAME is a name from `list`, a dataset
folder, or a Hub repo, user/name.
Try: distilled-envs evaluate cartpole_2d --instances min
"""


_UNHELPFUL = ("strict", "backslashreplace", "surrogateescape")
_PLAIN = {"±": "+-", "°": " degrees", "√": "sqrt ", "…": "...", "·": "*", "→": "->"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        Exit status: 0 done, 1 the user can mend it (one sentence on stderr), 2 wrong usage, 130
        interrupted.
    """
    _write_what_can_be_written()
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"distilled-envs {__version__}")
        return 0
    if argv[0] not in COMMANDS:
        print(
            f"distilled-envs: there is no command {argv[0]!r}, only {', '.join(COMMANDS)}.",
            file=sys.stderr,
        )
        return 2
    try:
        with _messages_shown():
            _run(argv[0], argv[1:])
    except BrokenPipeError:  # e.g. `distilled-envs list | head`
        sys.stderr.close()
        return 141
    except DistilledEnvsError as error:
        print(f"distilled-envs: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a folder that can't be written
        print(f"distilled-envs: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"\ndistilled-envs: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return 130
    return 0


def _write_what_can_be_written() -> None:
    """Where the terminal knows ASCII alone, a ± becomes +-, and no other letter ends a command."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in _UNHELPFUL:
            stream.reconfigure(errors="plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter, "?") for letter in lacking), error.end


def _imported(arguments: list[str]) -> list[str]:
    """Import what ``--import MODULE`` names, such as a module that registers environments.

    Returns:
        The other arguments.

    Raises:
        SettingsError: There is no such module, or it can't be imported.
    """
    others, rest = [], iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag != "--import":
            others.append(argument)
            continue
        module = value if equals else next(rest, "")
        try:
            import_module(module)
        except MissingExtraError:
            raise
        except ImportError as error:
            raise SettingsError(
                f"--import {module}: it can't be imported: {in_a_line(error)}"
            ) from None
    return others


def _run(name: str, arguments: list[str]) -> None:
    """Call a command's function with what the arguments say."""
    import tyro

    from distilled_envs.cli.flags import registry

    module, function = COMMANDS[name].home.split(":")
    command: Callable[..., None] = getattr(importlib.import_module(module), function)
    prog = f"distilled-envs {name}"
    line = shlex.join(["distilled-envs", name, *arguments])
    arguments = _imported(arguments)
    if name == "distill":  # its flags have the settings of a preset as defaults
        from distilled_envs.cli.distill_flags import with_preset

        command, wanted, arguments = with_preset(arguments, registry())
        prog += f" {wanted}"
    if name in _KEEP_THEIR_LINE:
        command = partial(command, line=line)
    tyro.cli(command, args=arguments, prog=prog, registry=registry())


@contextmanager
def _messages_shown() -> Iterator[None]:
    """This package's messages on stderr; other packages see to their own."""
    log, handler = logging.getLogger("distilled_envs"), logging.StreamHandler()
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]
