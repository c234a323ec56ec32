"""Where things lie on a server, and the log."""

import json
import os
import socket

VERSION = "0.1.0"
PROGRAM = os.path.abspath(getattr(globals().get("__loader__"), "archive", __file__))
"""What was started: the zip, or this file where the sources are used as they are."""


MAX_LINE_BYTES = 1 << 20
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class Places:
    """Where things lie on a server."""

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.policy = root + "/etc/failover-helper/policy.json"
        self.run = root + "/run/failover-helper"
        self.state = root + "/var/lib/failover-helper"
        self.manifests = self.state + "/manifests"
        self.content_key = self.state + "/content_key"
        self.log_socket = root + "/dev/log"

    def log(self, sentence: str) -> None:
        """One line to syslog (authpriv.notice). Never waits: a stopped journald must not hold up a recovery."""
        text = json.dumps(sentence, ensure_ascii=True)[1:-1].replace('\\"', '"')
        line = f"<{(10 << 3) | 5}>failover-helper[{os.getpid()}]: {text[:4000]}"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(line.encode(), self.log_socket)
        except OSError:
            pass  # no log is no reason not to act; the journal of the monitor has the change too
