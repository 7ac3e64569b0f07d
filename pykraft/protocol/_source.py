"""Pieces of Python source that compiled readers and writers are made of, and the running of it."""

from __future__ import annotations

import struct
import sys
from typing import Any, Final

from pykraft.protocol._codecs import Misfit
from pykraft.protocol._layout import Field, layout
from pykraft.protocol._message import AnyStruct, FrozenStruct

# Begins the name of the struct that is the default of its class.
_DEFAULT: Final = "DEFAULT_"


def run(source: str, cls: type[AnyStruct], name: str, given: dict[str, Any]) -> Any:
    """Run the source beside the classes of a message's module and what is given; gives the function of that name."""
    module = vars(sys.modules[cls.__module__])
    structs = [found for found in module.values() if isinstance(found, type) and issubclass(found, AnyStruct)]
    defaults = {
        f"{_DEFAULT}{type(field.default).__name__}": field.default
        for found in structs
        for field in layout(found)
        if isinstance(field.default, AnyStruct)
    }
    space: dict[str, Any] = {**module, **defaults, "Packer": struct.Struct, "Misfit": Misfit, **given}
    exec(compile(source, f"<{name} {cls.__name__}>", "exec"), space)
    return space[name]


def default_source(field: Field) -> str:
    """The default of a field, as source: a new one if it can be changed."""
    if isinstance(field.default, FrozenStruct):
        return f"{_DEFAULT}{type(field.default).__name__}"
    return f"{type(field.default).__name__}()" if isinstance(field.default, AnyStruct) else repr(field.default)


def not_default(field: Field, value: str) -> str:
    """The condition that a value is not the field's default."""
    if field.default is None:
        return f"{value} is not None"
    if field.default is False:
        return value
    if field.default is True:
        return f"not {value}"
    if field.default == [] and not field.nullable:
        return f"len({value})"  # which a null fails at
    if isinstance(field.default, AnyStruct):
        default = f"{_DEFAULT}{type(field.default).__name__}"
        return f"({value} is not {default} and {value} != {default})"
    return f"{value} != {default_source(field)}"
