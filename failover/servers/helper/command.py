"""The verb ``command``: a command that the policy names."""

import os
import select
import subprocess
import time

from .arguments import Verb
from .errors import Answer, Args, Failed, not_in_policy
from .places import ENVIRONMENT
from .processes import PR_SET_CHILD_SUBREAPER, libc
from .values import text
from .words import plain
from .work import Work


def change_command(work: Work, args: Args) -> Answer:
    """Run a command that the policy names, as it stands there."""
    argv = work.policy.commands.get(args["name"])
    if argv is None:
        raise not_in_policy("command", args["name"], work.policy.commands)
    work.begin()
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what it detaches stays ours, so that the deadline ends it too
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT, cwd="/"
        )
    except OSError as error:
        raise Failed("command-failed", f"{argv[0]} can't be run: {plain(error)}") from None
    assert process.stdout is not None  # noqa: S101 - it was asked for above
    pipe = process.stdout.fileno()
    output, total = b"", 0
    while True:
        # Its end counts, not that of its output: what it leaves running may hold the pipe for ever.
        ended = process.poll() is not None
        while select.select([pipe], [], [], 0 if ended else 0.02)[0]:
            data = os.read(pipe, 65536)
            if not data:
                break
            total += len(data)
            output += data[: work.policy.max_output_bytes - len(output)]
            if ended and total > 64 * work.policy.max_output_bytes:
                break
        if ended:
            break
        time.sleep(0.001)
    result = {
        "exit": process.returncode,
        "output": output.decode("utf-8", "replace"),
        "truncated": total > len(output),
        "seconds": time.monotonic() - began,
    }
    if process.returncode:
        raise Failed("command-failed", "{} ended with {}".format(args["name"], process.returncode), result)
    return result


CHANGES = {"command": Verb(change_command, {"name": text(100)}, {})}
