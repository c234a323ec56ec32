"""What comes as JSON, and what a value in it may be."""

import json
import re
from typing import Any, Callable, Dict, List, Tuple


def is_int(value: Any) -> bool:
    """Whether it is a whole number that isn't negative; True is none."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def parse_json(text: bytes) -> Any:
    """JSON without what different readers read differently: doubled keys, NaN, numbers without end."""

    def unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands there twice")
        return found

    def number(digits: str) -> int:
        if len(digits) > 20:
            raise ValueError(f"a number of {len(digits)} digits")
        return int(digits)

    def constant(name: str) -> None:
        raise ValueError(f"{name} is no number")

    return json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_int=number, parse_constant=constant)


def text(most: int) -> Callable[[Any], bool]:
    """A string up to a length, without control characters."""
    return lambda value: isinstance(value, str) and 0 < len(value) <= most and not re.search(r"[\x00-\x1f\x7f]", value)


def among(*words: str) -> Callable[[Any], bool]:
    """One of these words."""
    return lambda value: value in words and isinstance(value, str)


def between(least: float, most: float) -> Callable[[Any], bool]:
    """A number in a range."""
    return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def flag(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def texts(value: Any) -> bool:
    """A short list of strings."""
    return isinstance(value, list) and len(value) <= 50 and all(text(100)(entry) for entry in value)


def digest(value: Any) -> bool:
    """A SHA-256 in hexadecimal."""
    return isinstance(value, str) and bool(re.match(r"[0-9a-f]{64}\Z", value))


def prefix_length(value: Any) -> bool:
    """Of an IP network; null when the interface's own network shall give it."""
    return value is None or is_int(value) and value <= 128
