"""The state of a stream as JSON: to go on with it later, in another process, or on another machine.

What is saved is found by the project's own convention: a state is a frozen dataclass with `initial`, and
whoever holds one has it in an attribute. Nothing is unpickled, and the file names no classes.
"""

import base64
import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

_PLAIN = (bool, int, float, str, type(None))
# Names of what is given when a stream is opened, and stays so.
_GIVEN = frozenset({"rate_hz", "_rate_hz", "hop_samples", "_hop_samples", "hop_s"})
_ARRAY_KEYS = {"dtype", "shape", "base64"}


def saved_from_owner(owner: object) -> dict[str, Any]:
    """All that `owner` remembers, fit for JSON.

    By attribute: numbers and texts as they are; states as `builtins_from_value` writes them; what has methods
    `saved` and `restore` by those; other objects of this package in the same way. Anything else is left out.
    """
    saved: dict[str, Any] = {}
    for name, value in vars(owner).items():
        if isinstance(value, _PLAIN):
            saved[name] = value
        elif _is_state(value):
            saved[name] = builtins_from_value(value)
        elif hasattr(value, "restore"):
            saved[name] = builtins_from_value(value.saved())
        elif _is_owner(value):
            saved[name] = saved_from_owner(value)
    return saved


def restore_owner(owner: object, saved: Mapping[str, Any]) -> None:
    """Give a new `owner`, made with the same arguments, back what another one remembered.

    Raises:
        KeyError, TypeError, ValueError: `saved` is not of such an owner.
    """
    for name, value in vars(owner).copy().items():
        if isinstance(value, _PLAIN):
            restored = _value_of(type(value), saved[name])
            if name in _GIVEN and restored != value:
                raise ValueError(f"{name} is {restored}, not {value}")
            setattr(owner, name, restored)
        elif _is_state(value):
            setattr(owner, name, _restored(value, saved[name]))
        elif hasattr(value, "restore"):
            value.restore(value_from_builtins(_saved_kind(type(value)), saved[name]))
        elif _is_owner(value):
            restore_owner(value, saved[name])


def saved_from_states(owner: object) -> dict[str, Any]:
    """Only the states that `owner` itself holds."""
    return {name: builtins_from_value(value) for name, value in vars(owner).items() if _is_state(value)}


def restore_states(owner: object, saved: Mapping[str, Any]) -> None:
    """Give `owner` back what `saved_from_states` saved.

    Raises:
        KeyError, TypeError, ValueError: `saved` is not of such an owner.
    """
    for name, value in vars(owner).copy().items():
        if _is_state(value):
            setattr(owner, name, _restored(value, saved[name]))


def builtins_from_value(value: Any) -> Any:
    """Numbers, texts, enumerations, arrays, dataclasses, and tuples, sets and mappings of them, for JSON."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.ndarray):
        content = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {"dtype": value.dtype.str, "shape": list(value.shape), "base64": content}
    if hasattr(value, "saved"):
        return builtins_from_value(value.saved())
    if dataclasses.is_dataclass(value):
        return {f.name: builtins_from_value(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return [[builtins_from_value(key), builtins_from_value(entry)] for key, entry in value.items()]
    if isinstance(value, frozenset):
        return sorted(builtins_from_value(entry) for entry in value)
    if isinstance(value, tuple | list):
        return [builtins_from_value(entry) for entry in value]
    raise TypeError(f"a state cannot hold {type(value).__name__}")


def value_from_builtins(kind: Any, content: Any) -> Any:
    """The value of type `kind`, a class or an annotation, that `content` was written from.

    Raises:
        KeyError, TypeError, ValueError: it was not.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if hasattr(origin, "__value__"):
        # An alias by PEP 695, as NDArray is from numpy 2.5 on; it stands for what it names.
        return value_from_builtins(origin.__value__[arguments], content)
    if origin in (types.UnionType, typing.Union):
        if content is None:
            return None
        (kind,) = (part for part in arguments if part is not type(None))
        return value_from_builtins(kind, content)
    if kind is np.ndarray or origin is np.ndarray:
        return _array(content, arguments)
    if origin is tuple and arguments[-1] is not Ellipsis:
        return tuple(value_from_builtins(a, b) for a, b in zip(arguments, content, strict=True))
    if origin in (tuple, frozenset):
        return origin(value_from_builtins(arguments[0], entry) for entry in content)
    if origin is not None and issubclass(origin, Mapping):
        first, second = arguments
        return {value_from_builtins(first, a): value_from_builtins(second, b) for a, b in content}
    if hasattr(kind, "from_saved"):
        return kind.from_saved(value_from_builtins(_saved_kind(kind), content))
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        make: Any = kind
        fields = dataclasses.fields(kind)
        return make(**{f.name: value_from_builtins(hints[f.name], content[f.name]) for f in fields})
    return _value_of(kind, content)


def _value_of(kind: Any, content: Any) -> Any:
    if issubclass(kind, Enum):
        return kind(content)
    if kind is float and type(content) is int:
        return float(content)
    if type(content) is not kind:
        raise TypeError(f"{content!r} is not of type {kind.__name__}")
    return content


def _array(content: Mapping[str, Any], arguments: tuple[Any, ...]) -> Any:
    """The array; `arguments` are those of the annotation, `NDArray[np.float32]`, which tell its dtype."""
    if set(content) != _ARRAY_KEYS or np.dtype(content["dtype"]).hasobject:
        raise ValueError("this is no array")
    dtype, shape = np.dtype(content["dtype"]), content["shape"]
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"{shape} is no shape of an array")
    for wanted in arguments[1:]:
        kind = typing.get_args(wanted)[0]
        if isinstance(kind, type) and dtype.newbyteorder("=") != np.dtype(kind):
            raise TypeError(f"an array of {dtype} is not one of {kind.__name__}")
    flat = np.frombuffer(base64.b64decode(content["base64"]), dtype)
    return flat.reshape(shape).astype(dtype.newbyteorder("="))


def _restored(fresh: Any, content: Any) -> Any:
    """The state of the type of `fresh`, the one at the beginning, whose arrays have the same shapes.

    Raises:
        KeyError, TypeError, ValueError: `content` is not of such a state.
    """
    value = value_from_builtins(type(fresh), content)
    _check_given(fresh, value)
    if hasattr(value, "check_restored"):
        value.check_restored(fresh)
    return value


def _check_given(fresh: Any, value: Any) -> None:
    for entry in dataclasses.fields(fresh):
        one, other = getattr(fresh, entry.name), getattr(value, entry.name)
        if entry.name in _GIVEN and one != other:
            raise ValueError(f"{entry.name} is {other}, not {one}")
        if isinstance(one, np.ndarray) and one.shape != other.shape:
            raise ValueError(f"{entry.name} has the shape {other.shape}, not {one.shape}")
        if dataclasses.is_dataclass(one) and type(one) is type(other):
            _check_given(one, other)


def _saved_kind(kind: Any) -> Any:
    """What a class with a method `saved` saves instead of itself."""
    return typing.get_type_hints(kind.saved)["return"]


def _is_state(value: object) -> bool:
    return dataclasses.is_dataclass(value) and hasattr(value, "initial")


def _is_owner(value: object) -> bool:
    kind = type(value)
    return kind.__module__.startswith("realtime.") and not dataclasses.is_dataclass(value)
