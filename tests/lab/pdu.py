"""Switched power outlets: the lab's fence from outside, offered to the monitor host as ``lab-pdu``."""

import contextlib
import socketserver
import threading
from collections.abc import Mapping
from pathlib import Path

from .errors import LabError
from .host import Host


class PowerOutlets:
    """Listens on a Unix socket; cuts and gives power for real, and answers only when it is so."""

    def __init__(self, socket: Path, hosts: Mapping[str, Host]) -> None:
        self.orders: list[str] = []
        self.hosts = hosts
        outlets = self

        class Line(socketserver.StreamRequestHandler):
            timeout = 10

            def handle(self) -> None:
                order = self.rfile.readline(200).decode(errors="replace").strip()
                with contextlib.suppress(OSError):  # the one who asked may have lost power meanwhile
                    self.wfile.write(f"{outlets.obey(order)}\n".encode())

        self._server = socketserver.ThreadingUnixStreamServer(str(socket), Line)
        self._server.daemon_threads = True
        socket.chmod(0o666)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="lab-pdu", daemon=True).start()

    def obey(self, order: str) -> str:
        """Carry out ``on|off|status HOST``; the answer starts with ``done`` or ``failed``."""
        self.orders.append(order)
        verb, _, name = order.partition(" ")
        host = self.hosts.get(name)
        if host is None:
            return f"failed no outlet is called {name!r}; there are {', '.join(self.hosts)}"
        try:
            if verb == "off":
                host.power_off()
            elif verb == "on" and not host.on:
                host.boot(wait=False)
        except LabError as error:
            return f"failed {error}"
        return f"done {name} is {'on' if host.on else 'off'}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
