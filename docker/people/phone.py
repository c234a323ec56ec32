"""The phone of the one on duty: takes failover's pages and says them.

usage: phone.py PORT
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST_BYTES = 65536


class Phone(BaseHTTPRequestHandler):
    """Says what comes in."""

    timeout = 10

    def do_POST(self) -> None:
        """A page."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MOST_BYTES))
        try:
            said = json.loads(body)
            text = f"{said.get('severity', '?')}: {said.get('title', '')}\n{said.get('text', '')}"
        except (ValueError, AttributeError):
            text = body.decode(errors="replace")
        sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text.strip()}\n")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Only the pages themselves are of interest."""


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Phone).serve_forever()  # noqa: S104 - in its own container
