"""Messages as the JSON of Kafka's generated JsonConverters, which its tools and its request log print.

Fields stand in the schema's order. A field that the version lacks is left out, a tagged field also when it holds
its default; unknown tagged fields are not shown. Bytes are base64, uuids their 22 characters, and a `records`
field is an empty text whatever it holds. NaN and the infinities are texts, as Jackson prints them.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from pykraft.protocol._codecs import check_version
from pykraft.protocol._layout import NONE, Field, fields_by_name, layout
from pykraft.protocol._message import AnyStruct, Message
from pykraft.protocol.errors import EncodeError, JsonError
from pykraft.protocol.uuids import uuid_from_text, uuid_to_text

Json: TypeAlias = dict[str, Any]
M = TypeVar("M", bound=Message)

_RANGES: Final = {
    "int8": (-(2**7), 2**7 - 1), "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1),
}  # fmt: skip
_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_SHOWN_MAX: Final = 60


def to_json(message: Message, version: int, *, records: bool = False) -> Json:
    """The JSON of a message in one version; with `records`, fields of that type as base64 instead of empty.

    EncodeError when the version lacks a field that is not ignorable and not default, or holds null where it cannot;
    UnsupportedVersionError for the version.
    """
    check_version(type(message), version)
    return _struct_to_json(message, type(message), version, type(message).__name__, records)


def from_json(cls: type[M], obj: object, version: int) -> M:
    """The message that a JSON object describes: JsonError with the field's path for a field that is missing, unknown,
    not in the version or of another type; UnsupportedVersionError for the version."""
    check_version(cls, version)
    return _struct_from_json(cls, obj, version, cls.__name__)


def _inner(path: str, name: str, cls: type[AnyStruct]) -> str:
    return name if issubclass(cls, Message) else f"{path}.{name}"


def _struct_to_json(value: AnyStruct, cls: type[AnyStruct], version: int, path: str, records: bool) -> Json:
    found: Json = {}
    for field in layout(cls):
        item = getattr(value, field.attr)
        if version not in field.versions:
            if not field.ignorable and not field.is_default(item):
                raise EncodeError(
                    _inner(path, field.name, cls), f"version {version} has no such field, its value is not the default"
                )
        elif version not in field.tagged or not field.is_default(item):
            found[field.name] = _to_json(item, field, version, _inner(path, field.name, cls), records)
    return found


def _to_json(value: Any, field: Field, version: int, path: str, records: bool) -> Any:
    if value is None:
        if version in field.nullable:
            return None
        if field.kind == "records":
            return ""
        raise EncodeError(path, f"null, which version {version} cannot say")
    if field.is_array:
        one = _element(field)
        return [_to_json(item, one, version, f"{path}[{number}]", records) for number, item in enumerate(value)]
    if field.struct is not None:
        return _struct_to_json(value, field.struct, version, path, records)
    if field.kind == "records":
        return _base64(value) if records else ""
    if field.kind == "bytes":
        return _base64(value)
    if field.kind == "uuid":
        return uuid_to_text(value)
    if field.kind == "float64" and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _element(field: Field) -> Field:
    return field._replace(is_array=False, nullable=NONE)


def _base64(value: Any) -> str:
    return base64.b64encode(value).decode("ascii")


S = TypeVar("S", bound=AnyStruct)


def _struct_from_json(cls: type[S], obj: object, version: int, path: str) -> S:
    if not isinstance(obj, dict):
        raise JsonError(path, f"expected an object, got {_described(obj)}")
    fields = fields_by_name(cls)
    values = {}
    for name, item in obj.items():
        field = fields.get(name)
        inner = _inner(path, str(name), cls)
        if field is None:
            raise JsonError(inner, "there is no such field")
        if version not in field.versions:
            raise JsonError(inner, f"version {version} has no such field")
        values[field.attr] = _from_json(item, field, version, inner)
    for field in fields.values():
        if field.name not in obj and version in field.versions and version not in field.tagged:
            raise JsonError(_inner(path, field.name, cls), f"missing, and version {version} needs it")
    return cls(**values)


def _from_json(obj: object, field: Field, version: int, path: str) -> Any:
    if obj is None and version in field.nullable:
        return None
    if field.is_array:
        if not isinstance(obj, list):
            raise JsonError(path, f"expected an array, got {_described(obj)}")
        one = _element(field)
        return [_from_json(item, one, version, f"{path}[{number}]") for number, item in enumerate(obj)]
    if field.struct is not None:
        return _struct_from_json(field.struct, obj, version, path)
    return _SCALARS[field.kind](obj, field.kind, path)


def _integer(obj: object, kind: str, path: str) -> int:
    low, high = _RANGES[kind]
    if type(obj) is not int or not low <= obj <= high:
        raise JsonError(path, f"expected {kind}, got {_described(obj)}")
    return obj


def _bool(obj: object, _: str, path: str) -> bool:
    if not isinstance(obj, bool):
        raise JsonError(path, f"expected true or false, got {_described(obj)}")
    return obj


def _float(obj: object, _: str, path: str) -> float:
    if isinstance(obj, str) and obj in _NOT_FINITE:
        return _NOT_FINITE[obj]
    if isinstance(obj, bool) or not isinstance(obj, int | float):
        raise JsonError(path, f"expected a number, got {_described(obj)}")
    try:
        return float(obj)
    except OverflowError:
        raise JsonError(path, f"expected a float64, got {_described(obj)}") from None


def _string(obj: object, _: str, path: str) -> str:
    if not isinstance(obj, str):
        raise JsonError(path, f"expected a text, got {_described(obj)}")
    return obj


def _uuid(obj: object, _: str, path: str) -> bytes:
    try:
        return uuid_from_text(_string(obj, _, path))
    except ValueError as error:
        raise JsonError(path, str(error)) from None


def _bytes(obj: object, _: str, path: str) -> bytes:
    text = _string(obj, _, path)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise JsonError(path, f"not base64: {error}") from None


_SCALARS: Final[dict[str, Callable[[object, str, str], Any]]] = {
    **dict.fromkeys(_RANGES, _integer), "bool": _bool, "float64": _float, "string": _string, "uuid": _uuid,
    "bytes": _bytes, "records": _bytes,
}  # fmt: skip


def _described(obj: object) -> str:
    text = repr(obj)
    return f"{type(obj).__name__} {text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + '...'}"
