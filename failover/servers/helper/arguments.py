"""What a verb is, and which arguments it takes."""

from typing import Any, Callable, Dict, NamedTuple

from .errors import Answer, Args, Refused, not_in_policy
from .work import Work

Spec = Dict[str, Callable[[Any], bool]]
Verb = NamedTuple("Verb", [("do", Callable[[Work, Args], Answer]), ("needs", Spec), ("takes", Spec)])


ASKS: Dict[str, Verb] = {}
CHANGES: Dict[str, Verb] = {}
SLOW_ASKS: Dict[str, float] = {}


def checked(verbs: Dict[str, Verb], verb: str, args: Args) -> Verb:
    """The verb, if there is one that takes these arguments."""
    if verb not in verbs:
        raise not_in_policy("verb", verb, verbs)
    found = verbs[verb]
    known = dict(found.needs, **found.takes)
    unknown = sorted(set(args) - set(known))
    if unknown:
        raise Refused(
            "bad-request", "{} takes no {!r}; it takes {}".format(verb, unknown[0][:100], ", ".join(sorted(known)))
        )
    missing = sorted(set(found.needs) - set(args))
    if missing:
        raise Refused("bad-request", f"{verb} needs {missing[0]!r}")
    for name, value in args.items():
        if not known[name](value):
            raise Refused("bad-request", f"{verb}: {str(value)[:100]!r} is no {name}")
    return found
