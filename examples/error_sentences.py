"""All sentences in which the package says what went wrong, read from its source."""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from distilled_envs import errors
from distilled_envs.studies.reports import markdown_table

ROOT = Path(__file__).parent.parent
PACKAGES = ("distilled_envs", "training", "hub")
KINDS = tuple(
    name
    for name, kind in vars(errors).items()
    if inspect.isclass(kind)
    and issubclass(kind, errors.DistilledEnvsError)
    and kind is not errors.MissingExtraError  # whose one sentence names a package and an extra
)


_HELPERS = {"_fault": "FaultyEnvError"}
"""Functions that make an error of a sentence, their last argument."""


def table_of(kind: str) -> str:
    """A kind's sentences, with the module that says them; what differs each time is in italics."""
    found = sorted({(place, sentence) for name, place, sentence in _sentences() if name == kind})
    return markdown_table([["module", "sentence"], *([f"`{a}`", _shown(b)] for a, b in found)])


def _shown(sentence: str) -> str:
    """As Markdown shows it: there are no italics within code, and none touch others."""
    apart = re.sub(r"(?<=[a-z.])\*\*(?=[a-z.])", "* *", sentence)
    return re.sub(r"`[^`]+`", lambda code: code[0].replace("*", ""), apart)


@cache
def _sentences() -> tuple[tuple[str, str, str], ...]:
    """Kind, module and sentence of each error that is made with one; the source is read once."""
    return tuple(_found())


def _found() -> Iterator[tuple[str, str, str]]:
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        module = str(path.relative_to(ROOT).with_suffix("")).removeprefix("distilled_envs/")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else _name(node.func)
            kind, sentence = _HELPERS.get(called, called), _text(node.args[-1])
            if kind in KINDS and " " in sentence:
                yield kind, module, sentence


def _text(node: ast.expr) -> str:
    """A string of the source for people; nothing if it is not one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.replace("|", "\\|").replace("\n", " ")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.FormattedValue):
        return f"*{_name(node.value)}*"
    return ""


def _name(node: ast.expr) -> str:
    """What stands for a value that differs each time."""
    if isinstance(node, ast.Name):
        return node.id.replace("_", " ").lower() if node.id.isupper() else node.id
    if isinstance(node, ast.Attribute) and node.attr not in ("__name__", "name", "id"):
        return node.attr.replace("_", " ")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return {"in_a_line": "why", "type": "class", "_short": "value"}.get(node.func.id, "...")
    if isinstance(node, ast.Attribute | ast.Subscript):
        return _name(node.value)
    return "..."
