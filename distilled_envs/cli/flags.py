"""What tyro must know to make flags, beside types of its own."""

import dataclasses
import json
from typing import Any, get_origin, get_type_hints

import docstring_parser
from tyro.constructors import (
    MISSING,
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    StructConstructorSpec,
    StructFieldSpec,
)


def registry() -> ConstructorRegistry:
    """Dictionaries are JSON objects, and help has no line breaks of the source."""
    rules = ConstructorRegistry()
    rules.primitive_rule(_json_object)
    rules.struct_rule(_in_flowing_words)
    return rules


def _json_object(info: Any) -> PrimitiveConstructorSpec[dict[str, Any]] | None:
    """A dictionary, as one JSON object."""
    if get_origin(info.type) is not dict:
        return None

    def read(arguments: list[str]) -> dict[str, Any]:
        value = json.loads(arguments[0])
        if not isinstance(value, dict):
            raise ValueError("one JSON object is needed, in braces")
        return value

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [json.dumps(value)],
    )


def _in_flowing_words(info: Any) -> StructConstructorSpec | None:
    """A dataclass, as tyro has it but for its fields' docstrings.

    tyro keeps the line breaks of those that are indented, as all are, and prints them within lines
    of the terminal's own width.
    """
    kind = info.type
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return None
    words, types = {}, get_type_hints(kind, include_extras=True)
    for each in reversed(kind.__mro__[:-1]):
        for field in docstring_parser.parse_from_object(each).params:
            words[field.arg_name] = " ".join((field.description or "").split())
    return StructConstructorSpec(
        instantiate=kind,
        fields=tuple(
            StructFieldSpec(
                field.name,
                types[field.name],
                _default(field, info.default),
                helptext=words.get(field.name),
            )
            for field in dataclasses.fields(kind)
            if field.init
        ),
    )


def _default(field: dataclasses.Field, instance: Any) -> Any:
    """What a field has if the user says nothing."""
    if dataclasses.is_dataclass(instance):
        return getattr(instance, field.name)
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return MISSING
