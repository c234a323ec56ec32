"""CPU that one HTTP probe costs: ours beside httpx as it comes, blackbox_exporter and monit.

``python -m tests.bench.http_probe``. nginx and whoever drives a prober have one CPU, the prober another;
each figure is CPU seconds of the prober's process per 1,000 probes of a 2.7 kB page, a new connection each. Rounds are
interleaved, so that a slow minute of the machine meets all alike.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench import results
from tests.bench.sheet import Sheet, judged, shown, times

AT_ONCE = 20
PAGE = "统计信息网 " + "x" * 2680
AIM_MS = 0.53
"""Half of blackbox_exporter's 1.07 ms (issue 2, point 11)."""
_TICKS = os.sysconf("SC_CLK_TCK")
_MONIT_HOSTS = 200
_MONIT_SECONDS = 8.0


@dataclass(frozen=True)
class World:
    """What the probers have: a server, and a CPU of their own."""

    folder: Path
    port: int
    logged_port: int
    server_cpu: int
    prober_cpu: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def requests_logged(self) -> int:
        return (self.folder / "access.log").read_bytes().count(b"\n")


# The probers that run in a Python of their own, as `python -m tests.bench.http_probe --be NAME`.


async def _ours(url: str, count: int) -> None:
    from failover.model import State
    from failover.probes.http import HttpProbe

    class Sight:
        def own_fault(self) -> None:
            return None

    probe = HttpProbe.model_validate({"url": url, "expect": {"status": 200, "contains": "统计"}})

    async def one() -> None:
        reading = await probe.take("website", Sight())  # type: ignore[arg-type]
        assert reading.state is State.UP, reading.reason

    await _many(one, count)


async def _httpx(url: str, count: int) -> None:
    import httpx

    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, trust_env=False, verify=False) as client:  # noqa: S501 - plain http

        async def one() -> None:
            reply = await client.get(url)
            assert reply.status_code == 200
            assert "统计" in reply.text

        await _many(one, count)


async def _many(one: Callable[[], Any], count: int) -> None:
    for _ in range(50):  # what is made once is not what a probe costs
        await one()

    async def some() -> None:
        for _ in range(count // AT_ONCE):
            await one()

    before, began = time.process_time(), time.monotonic()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    cpu, seconds = time.process_time() - before, time.monotonic() - began
    print(json.dumps({"cpu_seconds": cpu, "seconds": seconds, "probes": count // AT_ONCE * AT_ONCE}))


_PYTHON_PROBERS = {"ours": _ours, "httpx.AsyncClient": _httpx}


def _in_python(name: str, world: World, count: int) -> dict[str, float]:
    said = subprocess.run(
        [sys.executable, "-m", "tests.bench.http_probe", "--be", name, "--url", world.url, "--count", str(count)],
        preexec_fn=lambda: os.sched_setaffinity(0, {world.prober_cpu}),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=Path(__file__).parents[2],
    ).stdout
    return dict(json.loads(said))


def _blackbox(world: World, count: int) -> dict[str, float]:
    """blackbox_exporter, asked over one kept connection by a driver on the server's CPU."""
    port = free_port()
    config = world.folder / "blackbox.yml"
    config.write_text(
        "modules: {http_2xx: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4,"
        ' fail_if_body_not_matches_regexp: ["统计"]}}}\n'
    )
    command = ["prometheus-blackbox-exporter", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"]
    with running(command, world.prober_cpu, {"GOMAXPROCS": "1"}) as process:
        await_port(port)
        target = f"/probe?module=http_2xx&target={world.url}"
        _ask(port, target, 50)
        before, began = cpu_seconds(process.pid), time.monotonic()
        _ask(port, target, count)
        cpu, seconds = cpu_seconds(process.pid) - before, time.monotonic() - began
    return {"cpu_seconds": cpu, "seconds": seconds, "probes": count}


def _ask(port: int, target: str, count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        for _ in range(count):
            connection.request("GET", target)
            page = connection.getresponse().read()
            assert b"\nprobe_success 1" in page, page[-300:]
    finally:
        connection.close()


def _monit(world: World, _count: int) -> dict[str, float]:
    """monit with many hosts at its shortest cycle; how many probes it made is counted by the server."""
    control = world.folder / "monitrc"
    hosts = "".join(
        f"check host h{number} with address 127.0.0.1\n"
        f'  if failed port {world.logged_port} protocol http request / content = "xxxx" then alert\n'
        for number in range(_MONIT_HOSTS)
    )
    state = f"set pidfile {world.folder}/monit.pid\nset idfile {world.folder}/id\nset statefile {world.folder}/state\n"
    control.write_text(f"set daemon 1\nset log {world.folder}/monit.log\n{state}{hosts}")
    control.chmod(0o600)
    with running(["monit", "-I", "-c", str(control)], world.prober_cpu) as process:
        time.sleep(2)
        before, probed, began = cpu_seconds(process.pid), world.requests_logged(), time.monotonic()
        time.sleep(_MONIT_SECONDS)
        probes = world.requests_logged() - probed
        cpu, seconds = cpu_seconds(process.pid) - before, time.monotonic() - began
    assert probes > _MONIT_HOSTS, "monit doesn't probe"
    assert "failed" not in (world.folder / "monit.log").read_text(), "monit doesn't see the page"
    return {"cpu_seconds": cpu, "seconds": seconds, "probes": probes}


# The world around them.


@contextmanager
def world() -> Iterator[World]:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise SystemExit("this benchmark needs two CPUs: one for the server, one for the prober")
    with tempfile.TemporaryDirectory(prefix="http-probe-") as name:
        folder = Path(name)
        made = World(folder, free_port(), free_port(), cpus[0], cpus[1])
        (folder / "www").mkdir()
        (folder / "www/index.html").write_text(PAGE)
        folder.chmod(0o755)
        (folder / "access.log").touch()
        temp = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;"
            f"{'user root;' if os.geteuid() == 0 else ''} events {{ worker_connections 1024; }}"
            f"http {{ access_log off; client_body_temp_path {folder}/body; {temp} charset utf-8;"
            f" default_type text/html; root {folder}/www;"
            f" server {{ listen 127.0.0.1:{made.port}; }}"
            f" server {{ listen 127.0.0.1:{made.logged_port}; access_log {folder}/access.log; }} }}"
        )
        os.sched_setaffinity(0, {made.server_cpu})
        try:
            with running(["nginx", "-p", name, "-c", f"{name}/nginx.conf"], made.server_cpu):
                await_port(made.port)
                yield made
        finally:
            os.sched_setaffinity(0, cpus)


@contextmanager
def running(
    command: list[str], cpu: int, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    process = subprocess.Popen(
        [shutil.which(command[0], path=path) or command[0], *command[1:]],
        env={**os.environ, **(environment or {})},
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its threads among it (proc(5)); to 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def await_port(port: int) -> None:
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            time.sleep(0.025)
    raise SystemExit(f"nothing listens on port {port}")


def measure(rounds: int = 5, count: int = 3000, say: Callable[[str], object] = lambda _text: None) -> dict[str, Any]:
    """Medians and spreads of every prober that is installed here; those that aren't are named."""
    watch = results.Watch()
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if not shutil.which("nginx", path=path):
        raise SystemExit("nginx is missing: apt-get install nginx-light")
    probers: dict[str, Callable[[World], dict[str, float]]] = {
        name: lambda there, name=name: _in_python(name, there, count)  # type: ignore[misc]
        for name in _PYTHON_PROBERS
    }
    missing = []
    for name, program, prober in (
        ("blackbox_exporter", "prometheus-blackbox-exporter", _blackbox),
        ("monit", "monit", _monit),
    ):
        if shutil.which(program, path=path):
            probers[name] = lambda there, prober=prober: prober(there, count)  # type: ignore[misc]
        else:
            missing.append(f"{name} (apt-get install {program})")
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in probers}
    with world() as there:
        for number in range(rounds):
            for name, prober_of in probers.items():
                watch.look()
                taken[name].append(prober_of(there))
                run = taken[name][-1]
                say(f"round {number + 1}: {name}: {run['cpu_seconds'] * 1000 / run['probes']:.3f} ms CPU per probe")
    summary = {name: _summary(runs) for name, runs in taken.items()}
    for name, one in summary.items():
        one["ratio_of_ours"] = results.ratio(summary["ours"]["cpu_ms"], one["cpu_ms"]) if name != "ours" else None
    return results.write("http_probe", watch, {"rounds": rounds, "probers": summary, "missing": missing})


def _summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    return {
        "cpu_ms": results.spread(run["cpu_seconds"] * 1000 / run["probes"] for run in runs),
        "probes_per_second": results.spread((run["probes"] / run["seconds"] for run in runs), 0),
        "probes": int(runs[0]["probes"]),
    }


def sheets(data: dict[str, Any]) -> list[Sheet]:
    """One table."""
    sheet = Sheet(
        "CPU of one HTTP probe: a 2.7 kB page of nginx, a new connection each",
        ("", "CPU per probe", "ours / this", "probes per second on one core", f"aim {AIM_MS} ms"),
    )
    for name, one in data["probers"].items():
        aim = judged(one["cpu_ms"]["median"], AIM_MS) if name == "ours" else ""
        rate = f"{one['probes_per_second']['median']:.0f}"
        sheet.add(name, shown(one["cpu_ms"], "ms"), times(one["ratio_of_ours"]), rate, aim)
    sheet.notes.append("monit probes one host after the other at the pace of its cycle, so its rate says nothing.")
    sheet.notes += [f"Not installed: {name}." for name in data["missing"]]
    return [sheet]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--be", choices=_PYTHON_PROBERS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.be:
        asyncio.run(_PYTHON_PROBERS[given.be](given.url, given.count))
    else:
        console = Console(width=results.WIDTH)
        for sheet in sheets(measure(given.rounds, given.count, console.print)):
            sheet.show(console)


if __name__ == "__main__":
    main()
