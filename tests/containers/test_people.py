"""The visitor and the phone of the containers, as the programs that they are."""

import http.client
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.containers.people import outages, sees_well

PEOPLE = Path(__file__).resolve().parents[2] / "docker/people"


class Page(http.server.BaseHTTPRequestHandler):
    """A web server that says its name, and has no database."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/" else 502)
        self.send_header("X-Served-By", "web")
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"hi\n")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def page(port: int) -> Iterator[None]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def person(file: str, *arguments: str) -> Iterator[list[str]]:
    """One of the programs; what it has said so far."""
    said: list[str] = []
    argv = [sys.executable, "-I", "-S", "-u", str(PEOPLE / file), *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        reader = threading.Thread(target=lambda: said.extend(line.rstrip() for line in process.stdout or ()))
        reader.start()
        try:
            yield said
        finally:
            process.kill()
            reader.join(10)


def await_until(seen: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_the_visitor_says_who_serves_and_how_long_nobody_did() -> None:
    port = free_port()
    with person("visitor.py", f"127.0.0.1:{port}/") as said:
        await_until(lambda: any("no page" in line for line in said))
        with page(port):
            await_until(lambda: any("200 OK from web" in line for line in said))
        await_until(lambda: len(said) == 3)
        time.sleep(0.3)
        with page(port):
            await_until(lambda: len(said) == 4)
    lost = outages(said, "/")
    assert len(lost) == 2, said
    assert 0.3 <= lost[1] < 5


def test_the_visitor_tells_the_outage_of_one_page_from_that_of_another() -> None:
    port = free_port()
    with person("visitor.py", f"127.0.0.1:{port}/", f"127.0.0.1:{port}/query/") as said:
        await_until(lambda: len(said) == 2)
        with page(port):
            await_until(lambda: len(said) == 4)
            assert sees_well(said, "/")
            assert not sees_well(said, "/query/")
        await_until(lambda: len(said) == 6)
        assert not sees_well(said, "/")
    assert len(outages(said, "/")) == 1, said
    assert len(outages(said, "/query/")) == 2, "no page, then one that is none"


def test_a_site_that_accepts_and_says_nothing_is_said_to_be_no_page_in_time() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        person("visitor.py", f"127.0.0.1:{silent.getsockname()[1]}/") as said,
    ):
        await_until(lambda: said)
    assert said[0].endswith("/ no page: TimeoutError")


def test_the_visitor_passes_a_browser_on_and_outlives_a_site_that_is_gone() -> None:
    port, ours = free_port(), free_port()
    with person("visitor.py", f"127.0.0.1:{port}/", f"{ours}=127.0.0.1:{port}") as said:
        await_until(lambda: said)
        assert not asks(ours)
        with page(port):
            assert asks(ours) == b"hi\n"
        assert not asks(ours)


def asks(port: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        connection.close()


def test_the_phone_says_what_failover_sends() -> None:
    port = free_port()
    with person("phone.py", str(port)) as said:
        await_until(lambda: post(port, json.dumps({"severity": "page", "title": "web is down", "text": "go"})))
        await_until(lambda: len(said) == 2)
        assert post(port, "not json at all")
        await_until(lambda: len(said) == 3)
    assert said[0].endswith(" page: web is down")
    assert said[1] == "go"
    assert said[2].endswith(" not json at all")


def post(port: int, body: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/page", body)
        return connection.getresponse().status == 204
    except OSError:
        return False
    finally:
        connection.close()
