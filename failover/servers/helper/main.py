"""The small program of failover that runs on the servers: the only hand that changes anything there.

One file on a server (an executable zip of this package, decision 6), standard library only, Python 3.6 and later, run
as root by a forced SSH command. JSON lines come in on stdin and go out on stdout (``docs/architecture.md``,
"servers"). It can do what its verbs can do (``verbs.py``), to what the policy file names, and nothing else: no shell,
no free command lines, no free paths.

How it is built: one process reads, answers and keeps the time; it has no threads and touches nothing that can hang.
Each request is worked on in a forked process with a session of its own, so that its end means the end of everything
it started. Changes run one at a time on a server, whichever helper process was asked, and only with the newest token.

Other ways to start it, for root on the server: ``guard [--late]``, ``unpark IP``, ``unpark UNIT``, ``announce ...``;
and for the user who pulls content: ``serve-content``. ``--root DIR`` moves policy, state and log socket, for tests:
sudo never passes it on, since the sudoers line allows no argument.
"""

import os
import sys
from typing import List

from .errors import Refused
from .places import Places


def main(argv: List[str]) -> int:
    """See the top of this file."""
    root = ""
    if argv[:1] == ["--root"] and len(argv) > 1 and "SUDO_UID" not in os.environ:
        root, argv = os.path.abspath(argv[1]), argv[2:]
    places = Places(root)
    os.umask(0o022)
    try:
        return start(places, argv)
    except Refused as error:
        places.log("refused {}: {} ({})".format(" ".join(argv), error, error.kind))
        sys.stderr.write(f"{error} ({error.kind})\n")
        return 1


def start(places: Places, argv: List[str]) -> int:
    """Read what one way of being started needs, all of it before anything is done, and no more: reading takes time."""
    if argv in ([], ["serve"]):
        from . import serving, verbs

        verbs.add_all()
        return serving.Helper(places).serve()
    if argv == ["serve-content"]:
        from .serve_content import serve_content

        return serve_content(places, os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    if argv in (["guard"], ["guard", "--late"]):
        from .by_hand import guard

        return guard(places, late=len(argv) > 1)
    if argv[:1] == ["unpark"] and len(argv) == 2:
        from .by_hand import unpark

        return unpark(places, argv[1])
    if argv[:1] == ["announce"] and len(argv) == 4:
        from .announcer import announce

        return announce(places, *argv[1:])
    sys.stderr.write("usage: failover-helper [serve | serve-content | guard [--late] | unpark IP-OR-UNIT]\n")
    return 2
