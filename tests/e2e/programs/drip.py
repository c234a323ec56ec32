"""A web server that has gone wrong: it accepts, says 200 OK, and sends one byte each 0.3 s. usage: drip.py PORT"""

import socketserver
import sys
import time

PAGE = b"HTTP/1.1 200 OK\r\nX-Served-By: web\r\nContent-Length: 4000\r\n\r\n" + b"<!doctype html>".ljust(4000, b".")


class Drip(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for place in range(len(PAGE)):
            try:
                self.wfile.write(PAGE[place : place + 1])
            except OSError:
                return  # they lost patience
            time.sleep(0.3)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1000


Server(("", int(sys.argv[1])), Drip).serve_forever()
