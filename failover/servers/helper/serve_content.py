"""What whoever pulls content may have from here."""

import os
import re
import sys

from .errors import Refused
from .places import ENVIRONMENT, Places
from .policy import Policy, name_of


def serve_content(places: Places, command: str) -> int:
    """The forced command of whoever pulls content from here: rsync, sending, and nothing but what the policy serves.

    The other side is this same file, so the one form of rsync's command line that it uses is all that is understood.
    """
    manifest = re.match(r"manifest ([0-9a-f]{64})\Z", command)
    if manifest is not None:
        with open(os.path.join(places.manifests, manifest.group(1)), "rb") as file:
            sys.stdout.buffer.write(file.read())
        return 0
    options = r"((?: --timeout=\d+| --files-from=-| --from0| --no-implied-dirs)*)"
    form = r"rsync --server --sender -tr?R?e\.[A-Za-z]*" + options + r" \. content/([0-9a-f]{16})/\Z"
    match = re.match(form, command)
    if match is None:
        raise Refused("not-in-policy", f"{command[:300]!r} isn't what a helper asks for")
    chosen, content = match.groups()
    served = {name_of(path): path + "/" for path in Policy.read(places).serve}
    if content not in served:
        raise Refused("not-in-policy", f"no content of the name {content} is served here")
    path = served[content]
    argv = command.split(" ")[:4] + chosen.split() + [".", path]
    return os.execvpe("rsync", argv, ENVIRONMENT)  # noqa: S606 - without a shell, on purpose
