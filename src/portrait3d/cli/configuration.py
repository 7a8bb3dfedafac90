"""Training configurations: a dataclass's defaults, changed by a TOML file, changed by flags."""

import dataclasses
import tomllib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Config = TypeVar("Config")


def read_settings(path: Path | None) -> dict[str, Any]:
    """The tables of a TOML file; nothing without one."""
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is no TOML file: {error}") from None


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Nested settings from texts such as "loss.identity=0"; values are TOML's, anything else is a string."""
    result: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not all(name.split(".")):
            raise ValueError(f"--set wants NAME=VALUE, such as loss.identity=0, got {text!r}.")
        try:
            parsed: Any = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value
        *tables, last = name.split(".")
        change: dict[str, Any] = {last: parsed}
        for table in reversed(tables):
            change = {table: change}
        result = merged(result, change)
    return result


def build_config(kind: type[Config], settings: Mapping[str, Any], name: str = "") -> Config:
    """A (nested) dataclass from (nested) settings; what they leave out keeps its default.

    Raises ValueError for a setting that doesn't exist, has the wrong type, or is missing and has no default;
    the message gives its name as it stands in the file, such as `loop.minutes`.
    """
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # pyright: ignore[reportArgumentType]
    for key in settings:
        if key not in fields:
            raise ValueError(f"There is no setting {name}{key}; there are {', '.join(fields)}.")
    values = {}
    for key, field in fields.items():
        if key in settings:
            values[key] = convert(hints[key], completed(settings[key], field), f"{name}{key}")
        elif dataclasses.is_dataclass(hints[key]) and field.default_factory is dataclasses.MISSING:
            if field.default is dataclasses.MISSING:
                values[key] = convert(hints[key], {}, f"{name}{key}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"The setting {name}{key} is missing.")
    return kind(**values)


def completed(value: Any, field: dataclasses.Field[Any]) -> Any:
    """A table with what it leaves out of the dataclass that its field holds by default."""
    if not isinstance(value, Mapping) or field.default_factory is dataclasses.MISSING:
        return value
    default = field.default_factory()
    if not dataclasses.is_dataclass(default):
        return value
    return {part.name: getattr(default, part.name) for part in dataclasses.fields(default)} | dict(value)


def convert(kind: Any, value: Any, name: str) -> Any:
    """A value of TOML (or of a flag) as the type that a field is annotated with."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return convert(next(option for option in arguments if option is not type(None)), value, name)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if dataclasses.is_dataclass(value):
            return value
        if isinstance(value, Mapping):
            return build_config(kind, value, f"{name}.")
    elif origin is Literal:
        if value in arguments:
            return value
        raise ValueError(
            f"The setting {name} must be one of {', '.join(map(str, arguments))}, got {value!r}."
        )
    elif origin is tuple and isinstance(value, list | tuple):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            return tuple(convert(*pair, name) for pair in zip(kinds, value, strict=True))
    elif origin is not None and isinstance(value, Mapping | list):
        return value
    elif kind is Path and isinstance(value, str | Path):
        return Path(value)
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(kind, type) and type(value) is kind:
        return value
    raise ValueError(f"The setting {name} must be of type {getattr(kind, '__name__', kind)}, got {value!r}.")


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with changes laid over them, table by table; changes that are None don't count."""
    result = dict(settings)
    for key, value in changes.items():
        if isinstance(value, Mapping):
            result[key] = merged(result.get(key, {}), value)
        elif value is not None:
            result[key] = value
    return result
