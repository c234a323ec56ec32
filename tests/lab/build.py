"""``python -m tests.lab.build``: makes the lab's base and the layers of its WCMs, once, before anything waits for them.

On a machine that can't have a lab it says why, and is no error: the tests that need one say so themselves.
"""

from . import base, wcm
from .needs import missing_requirements


def main() -> None:
    """Nothing to do where all of it is in the cache."""
    if missing := missing_requirements():
        print("no lab here: " + "; ".join(missing))
        return
    base.root()
    for engine in wcm.ENGINES:
        wcm.made(engine)


if __name__ == "__main__":
    main()
