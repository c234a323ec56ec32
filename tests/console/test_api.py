"""The API on a real UNIX socket: who may ask what, what is refused, and what a double click does."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from failover.console.app import Api
from failover.console.listen import Listener, tcp_socket, unix_socket, user_name
from failover.errors import ConfigError
from tests.console.toy_desk import ToyDesk

JSON = {"Content-Type": "application/json"}


async def call(
    path: Path, method: str, route: str, body: object = None, headers: dict[str, str] | None = None, raw: bytes = b""
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """One request, by hand, so that it may be wrong."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    content = raw or (json.dumps(body).encode() if body is not None else b"")
    given = {"Host": "localhost", "Content-Length": str(len(content)), "Connection": "close"}
    given |= (JSON if body is not None or raw else {}) | (headers or {})
    head = "".join(f"{name}: {text}\r\n" for name, text in given.items())
    writer.write(f"{method} {route} HTTP/1.1\r\n{head}\r\n".encode() + content)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    first, _, rest = answer.partition(b"\r\n")
    lines, _, content = rest.partition(b"\r\n\r\n")
    got = {
        name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines.decode().split("\r\n"))
    }
    return int(first.split()[1]), json.loads(content) if content else {}, got


ME = f"{user_name(os.getuid())} (uid {os.getuid()})"


async def test_status_is_answered(socket_path: Path) -> None:
    status, body, headers = await call(socket_path, "GET", "/api/v1/status")
    assert (status, body["sites"][0]["name"]) == (200, "bureau")
    assert headers["cache-control"] == "no-store"


async def test_the_kernel_says_who_asks_and_no_header_can(socket_path: Path, desk: ToyDesk) -> None:
    headers = {"X-Forwarded-User": "root", "Authorization": "Basic cm9vdDo=", "X-Person": "lin"}
    status, run, _ = await call(socket_path, "POST", "/api/v1/runs", {"verb": "switch", "role": "web"}, headers)
    assert (status, run["by"]) == (200, ME)
    await call(socket_path, "POST", "/api/v1/plans/web/ack", {"why": "seen"})
    assert desk.told[-1][1] == "web"
    assert (desk.told[-1][2].by, desk.told[-1][2].why) == (ME, "seen")


async def test_a_second_run_is_answered_with_the_running_one(socket_path: Path) -> None:
    body = {"verb": "switch", "role": "web"}
    await call(socket_path, "POST", "/api/v1/runs", body)
    status, problem, headers = await call(socket_path, "POST", "/api/v1/runs", body)
    assert (status, problem["run"], problem["type"]) == (409, 1, "about:blank#busy")
    assert headers["content-type"] == "application/problem+json"


async def test_fifty_double_clicks_start_one_run(socket_path: Path, desk: ToyDesk) -> None:
    desk.go_on.clear()
    body, key = {"verb": "switch", "role": "web"}, {"Idempotency-Key": "click"}
    clicks = [asyncio.create_task(call(socket_path, "POST", "/api/v1/runs", body, key)) for _ in range(50)]
    await asyncio.sleep(0.3)
    desk.go_on.set()
    answers = await asyncio.gather(*clicks)
    assert {(status, run["number"]) for status, run, _ in answers} == {(200, 1)}
    assert len(desk.runs_made) == 1


async def test_a_key_is_for_one_request(socket_path: Path, desk: ToyDesk) -> None:
    key = {"Idempotency-Key": "k"}
    await call(socket_path, "POST", "/api/v1/plans/web/ack", {"why": "seen"}, key)
    status, problem, _ = await call(socket_path, "POST", "/api/v1/plans/db/ack", {"why": "seen"}, key)
    assert (status, problem["type"]) == (422, "about:blank#key-reused")
    assert len(desk.told) == 1


async def test_a_failed_request_may_be_sent_again_with_its_key(socket_path: Path, desk: ToyDesk) -> None:
    key = {"Idempotency-Key": "k"}
    desk.broken = ConfigError(["f:1:1: no"])
    body = {"verb": "switch", "role": "web"}
    assert (await call(socket_path, "POST", "/api/v1/runs", body, key))[0] == 422
    desk.broken = None
    assert (await call(socket_path, "POST", "/api/v1/runs", body, key))[0] == 200


@pytest.mark.parametrize(
    ("route", "body", "says"),
    [
        ("/runs", {"verb": "switch", "rol": "web"}, "rol: Extra inputs are not permitted"),
        ("/runs", {"verb": "destroy", "role": "web"}, "verb: Input should be 'recover', 'switch' or 'rollback'"),
        ("/runs", {"verb": "rollback", "role": "web"}, "why: a rollback needs its reason"),
        ("/runs", {"verb": "switch", "role": "web", "why": "x"}, "why: only a rollback has it"),
        ("/runs", {"verb": "recover", "role": "web", "accept_loss": True}, "accept_loss: only a rollback has it"),
        ("/roles/web/commit", {}, "why: Field required"),
        ("/runs", {"verb": "switch", "role": "web; reboot"}, "role: String should match pattern"),
        ("/runs", {"verb": "switch", "role": "../etc"}, "role: String should match pattern"),
        ("/runs", {"verb": "switch", "role": "web\n"}, "role: String should match pattern"),
        ("/runs", {"verb": "switch", "role": "web", "force": "no"}, "force: only recover can be forced"),
        ("/runs/1/abort", {}, "why: Field required"),
        ("/runs/1/abort", {"why": "   "}, "why: String should have at least 1 character"),
        ("/runs/1/mark-done", {"why": "x", "step": 0}, "step: Input should be greater than or equal to 1"),
        ("/maintenance/begin", {"why": "x", "lasts": "8d"}, "lasts: from 1m to 7d"),
        ("/maintenance/begin", {"why": "x", "lasts": 30}, "lasts: Value error, 30 is not a span of time"),
        ("/automation", {"on": "perhaps", "why": "x"}, "on: Input should be a valid boolean"),
    ],
)
async def test_a_body_that_does_not_fit_does_nothing(
    socket_path: Path, desk: ToyDesk, route: str, body: object, says: str
) -> None:
    status, problem, _ = await call(socket_path, "POST", "/api/v1" + route, body)
    assert status == 422
    assert says in problem["detail"]
    assert not desk.told
    assert not desk.runs_made


@pytest.mark.parametrize(
    ("headers", "raw", "status"),
    [
        ({"Content-Type": "text/plain"}, b"{}", 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"why=x", 415),
        ({}, b"{" * 100, 422),
        ({}, b'{"why": "' + b"x" * 70_000 + b'"}', 413),
        ({"Idempotency-Key": "k" * 300}, b'{"why": "x"}', 422),
    ],
)
async def test_what_is_not_small_json_is_refused(
    socket_path: Path, desk: ToyDesk, headers: dict[str, str], raw: bytes, status: int
) -> None:
    got, problem, answered = await call(socket_path, "POST", "/api/v1/reload", headers=headers, raw=raw)
    assert got == status, problem
    assert answered["content-type"] == "application/problem+json"
    assert not desk.told


@pytest.mark.parametrize(
    ("method", "route", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/reload", 405),
        ("POST", "/api/v1/status", 405),
        ("GET", "/api/v1/runs/7", 404),
        ("GET", "/api/v1/status?site=elsewhere", 404),
        ("GET", "/api/v1/runs?limit=1e9", 422),
        ("GET", "/api/v1/runs?limit=-1", 422),
        ("GET", "/api/v1/explain?at=yesterday", 422),
        ("GET", "/api/v1/explain?at=2026-11-24T03:00:00", 422),
    ],
)
async def test_questions_that_can_not_be_answered(socket_path: Path, method: str, route: str, status: int) -> None:
    got, problem, _ = await call(socket_path, method, route, {} if method == "POST" else None)
    assert (got, problem["status"]) == (status, status)
    assert problem["detail"]


async def test_errors_keep_their_sentence_and_bugs_keep_theirs(socket_path: Path, desk: ToyDesk) -> None:
    status, problem, _ = await call(socket_path, "POST", "/api/v1/automation", {"on": False, "why": "x"})
    assert (status, problem["detail"]) == (503, "no space left")
    status, problem, _ = await call(socket_path, "POST", "/api/v1/runs", {"verb": "recover", "role": "safe"})
    assert (status, problem["detail"]) == (403, "there is no failure")
    desk.broken = ZeroDivisionError("CANARY")
    status, problem, _ = await call(socket_path, "GET", "/api/v1/status")
    assert status == 500
    assert "CANARY" not in json.dumps(problem)


async def test_every_route_of_the_api_is_answered(socket_path: Path, desk: ToyDesk) -> None:
    """No route is forgotten: each post acts once, and its cause is the person and the reason."""
    posts: dict[str, dict[str, object]] = {
        "/runs/1/resume": {"why": "x"}, "/runs/1/abort": {"why": "x"}, "/runs/1/mark-done": {"why": "x", "step": 2},
        "/runs/1/word": {"why": "x", "word": "off:web"}, "/plans/web/ack": {"why": "x"},
        "/roles/web/commit": {"why": "x"},
        "/maintenance/begin": {"why": "x", "lasts": "1h", "about": "web"}, "/maintenance/end": {"why": "x"},
        "/automation": {"why": "x", "on": True}, "/reload": {}, "/notify/test": {"channel": "robot"},
    }  # fmt: skip
    for route, body in posts.items():
        status, problem, _ = await call(socket_path, "POST", "/api/v1" + route, body)
        assert status == 200, (route, problem)
    assert [what[0] for what in desk.told] == [
        "resume", "abort", "mark_done", "word", "acknowledge", "commit", "begin_maintenance", "end_maintenance",
        "switch_automation", "reload", "notify_test",
    ]  # fmt: skip
    assert desk.told[6][1:3] == ("web", 3600.0)
    for route in ("/status", "/runs", "/events?run=3&after=7", "/explain", "/audit/head"):
        assert (await call(socket_path, "GET", "/api/v1" + route))[0] == 200
    assert (await call(socket_path, "POST", "/api/v1/audit/verify", {}))[1]["sound"]
    dry = {"verb": "switch", "role": "web", "dry": True}
    assert (await call(socket_path, "POST", "/api/v1/runs", dry))[1] == {"dry": "web", "verb": "switch"}


async def test_a_rollback_brings_its_reason_and_what_may_be_lost(socket_path: Path, desk: ToyDesk) -> None:
    body = {"verb": "rollback", "role": "database", "why": "it is slow", "accept_loss": True}
    status, run, _ = await call(socket_path, "POST", "/api/v1/runs", body)
    assert (status, run["verb"], run["why"], run["accept_loss"]) == (200, "rollback", "it is slow", True)
    dry = {"verb": "rollback", "role": "web", "dry": True}
    assert (await call(socket_path, "POST", "/api/v1/runs", dry))[1] == {"dry": "web", "verb": "rollback"}


async def test_who_drips_headers_is_hung_up_on_and_holds_nobody_up(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("failover.console.listen.FIRST_REQUEST_SECONDS", 0.5)
    slow = []
    for _ in range(30):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(socket_path))
        sock.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\nX-A: ")
        slow.append(sock)
    began = time.monotonic()
    assert (await call(socket_path, "GET", "/api/v1/status"))[0] == 200
    assert time.monotonic() - began < 5
    await asyncio.sleep(0.8)
    for sock in slow:
        sock.settimeout(2)
        assert sock.recv(100) == b""
        sock.close()


async def test_a_slow_answer_holds_up_no_other(socket_path: Path, desk: ToyDesk) -> None:
    desk.go_on.clear()
    slow = asyncio.create_task(call(socket_path, "GET", "/api/v1/status"))
    await asyncio.sleep(0.1)
    assert (await asyncio.wait_for(call(socket_path, "GET", "/api/v1/audit/head"), 2))[0] == 200
    desk.go_on.set()
    assert (await slow)[0] == 200


async def test_over_tcp_nobody_is_known_and_nothing_is_answered(desk: ToyDesk) -> None:
    threads = ThreadPoolExecutor(2)
    sock = tcp_socket("127.0.0.1", 0)
    port = sock.getsockname()[1]
    listener = Listener(Api(desk, threads).app(), sock)
    await listener.ready()
    try:
        for method, route in (("GET", "/api/v1/status"), ("POST", "/api/v1/reload")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"{method} {route} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
            assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
            writer.close()
    finally:
        await listener.stop()
        threads.shutdown()
    assert not desk.told


async def test_a_socket_that_somebody_answers_on_is_not_taken_over(socket_path: Path) -> None:
    with pytest.raises(OSError, match="another daemon answers there"):
        await asyncio.to_thread(unix_socket, socket_path)
    assert (await call(socket_path, "GET", "/api/v1/audit/head"))[0] == 200


def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    first = unix_socket(tmp_path / "s")
    first.close()
    with unix_socket(tmp_path / "s") as second:
        assert second.getsockname() == str(tmp_path / "s")
