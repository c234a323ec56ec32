"""Every answer says which WCM gave it, and which database it has just used."""

import socket
from collections.abc import Callable

from django.db import connection
from django.http import HttpRequest, HttpResponse

HOST = socket.gethostname()


class SayWho:
    """Headers ``X-WCM-Host: wcm`` and ``X-WCM-Database: 10.77.0.31/wcm``.

    The second is the other end of the very connection that served the request, not what the settings say.
    """

    def __init__(self, answer: Callable[[HttpRequest], HttpResponse]) -> None:
        self.answer = answer

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.answer(request)
        response["X-WCM-Host"] = HOST
        if used := database_used():
            response["X-WCM-Database"] = used
        return response


def database_used() -> str:
    """The address and name of the database that this thread is connected to; empty if to none."""
    link = connection.connection
    if link is None:
        return ""
    if connection.vendor == "postgresql":
        return "" if link.closed else f"{link.info.hostaddr or link.info.host}/{link.info.dbname}"
    peer = link._sock.getpeername() if link._sock else ""
    name = link.db.decode() if isinstance(link.db, bytes) else link.db
    return f"{peer[0]}/{name}" if isinstance(peer, tuple) else f"{peer}/{name}" if peer else ""
