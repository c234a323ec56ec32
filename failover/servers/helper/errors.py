"""What the helper answers when it doesn't do what it was asked: a kind for programs, a sentence for people."""

from typing import Any, Dict, Iterable, Optional, Tuple

Args = Dict[str, Any]
Answer = Dict[str, Any]
Token = Tuple[int, int]


class Refused(Exception):
    """No, and nothing was changed. ``kind`` is for programs, the sentence for people."""

    def __init__(self, kind: str, sentence: str, result: Optional[Answer] = None) -> None:
        super().__init__(sentence)
        self.kind, self.result = kind, result


class Failed(Refused):
    """Something was begun and went wrong; ``result`` is how things stand."""


def not_in_policy(what: str, value: str, known: Iterable[Any]) -> Refused:
    """The error for something that the policy doesn't name."""
    there = ", ".join(sorted(str(name) for name in known)[:20]) or "none"
    return Refused("not-in-policy", f"the {what} {value[:200]!r} is not in this server's policy, which names: {there}")
