"""A stand-in for the helper that speaks its protocol, keeps state in a folder, and misbehaves when asked to.

``toy_helper.py FOLDER``: what is received goes to ``FOLDER/received``; ``FOLDER/opening`` may name how it opens.
"""

import hashlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
BOOT_ID = "b007"
OUT = threading.Lock()


def say(value: object) -> None:
    data = value if isinstance(value, bytes) else (json.dumps(value) + "\n").encode()
    with OUT:
        os.write(1, data) if len(data) < 4096 else write_all(data)


def write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def hello(**more: object) -> None:
    mine = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    facts = {"protocol": 1, "version": "toy", "sha256": mine, "policy_sha256": "0" * 64, "boot_id": BOOT_ID}
    say({"hello": {**facts, "boottime": boottime(), "python": "3", **more}})


class Refuse(Exception):
    def __init__(self, kind: str, message: str, **more: object) -> None:
        self.error = {"kind": kind, "message": message, "began": False, **more}


STATE = {"value": 0}


def work(request: dict[str, Any]) -> dict[str, Any]:
    verb, args, number = request["verb"], request["args"], request["id"]
    if verb == "facts":
        return {"boot_id": BOOT_ID, "boottime": boottime(), "value": STATE["value"]}
    if verb == "clock":
        return {"boot_id": args.get("boot_id", BOOT_ID), "boottime": boottime() + args["ahead"]}
    if verb == "echo":
        return {"echo": args}
    if verb == "sleep":
        time.sleep(args["seconds"])
        return {"slept": args["seconds"]}
    if verb == "silence":
        threading.Event().wait()
    if verb == "request":
        return {"request": request, "boottime": boottime()}
    if verb == "blob":
        return {"blob": "x" * args["bytes"]}
    if verb == "garbage":
        for _ in range(args["lines"]):
            say(b'\x00\xff{"id": "no"\x1b[31m}\n[[[[\n')
        return {}
    if verb == "strangers":
        for stray in (10**9, "1", None, True, -1, 1.5):
            say({"id": stray, "result": {"forged": True}})
        return {}
    if verb == "flood":
        chunk = b"y" * 65536
        while True:
            say(chunk + (b"\n" if args.get("lines") else b""))
    if verb == "progress":
        for step in range(args["steps"]):
            say({"id": number, "progress": {"files": step}})
        return {"steps": args["steps"]}
    if verb == "drip":
        for byte in b'{"id": ':
            say(bytes([byte]))
            time.sleep(0.2)
        threading.Event().wait()
    if verb == "complain":
        os.write(2, b"line of complaint\n" * args["lines"])
        return {}
    if verb == "close_stdout":
        os.close(1)
        threading.Event().wait()
    if verb == "die":
        os.write(2, b"sudo: a password is required\n")
        os._exit(args.get("code", 1))
    if verb == "refuse":
        raise Refuse("not-in-policy", "\x1b[31mthe unit 'x' is not in the policy")
    if verb == "fail":
        raise Refuse("rsync", "exit code 23", began=True, result={"files": 7})
    if verb == "mumble":
        raise Refuse("rsync", "exit code 23", began="perhaps")
    if verb == "set":
        if request["not_after"] < boottime():
            raise Refuse("past-deadline", "too late")
        if request["boot_id"] != BOOT_ID:
            raise Refuse("other-boot", "not this boot")
        time.sleep(args.get("seconds", 0))
        STATE["value"] = args["value"]
        with (FOLDER / "done").open("a") as done:
            done.write(f"{args['value']}\n")
        return {"value": args["value"]}
    raise Refuse("unknown-verb", f"no verb {verb!r}")


def answer(request: dict[str, Any]) -> None:
    try:
        say({"id": request["id"], "result": work(request)})
    except Refuse as refusal:
        say({"id": request["id"], "error": refusal.error})


def open_up() -> None:
    opening = (FOLDER / "opening").read_text().strip() if (FOLDER / "opening").exists() else ""
    if opening == "noise":
        say(b"Welcome to Debian!\n\x1b[2J\n" * 20 + b'{"hello": "world"}\n')
    if opening == "much noise":
        say(b"noise\n" * 5000)
    if opening == "mute":
        sys.stdin.buffer.read()  # to the end of the session, which it mustn't outlive
        sys.exit()
    if opening == "dead":
        sys.exit("sudo: a password is required")
    if opening == "newer":
        hello(protocol=2)
        return
    hello()
    if opening == "brief":
        sys.exit("brief")


def main() -> None:
    with (FOLDER / "opened").open("a") as opened:
        opened.write(f"{os.getpid()}\n")
    open_up()
    for line in sys.stdin.buffer:
        with (FOLDER / "received").open("ab") as received:
            received.write(line)
        threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()


main()
