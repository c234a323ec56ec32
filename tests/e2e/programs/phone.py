"""Takes messages by HTTP POST, and appends each to a file as one JSON line. usage: phone.py ADDRESS PORT FILE"""

import http.server
import sys


class Phone(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        message = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[3], "ab") as file:
            file.write(message.replace(b"\n", b" ") + b"\n")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Phone).serve_forever()
