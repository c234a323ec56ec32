"""Runs beside a lab host: asks the WCMs again and again, as an editor or a visitor would, and prints what came of it.

usage: knock.py HEALTH|MARKER TOKEN_FILE PAUSE_SECONDS LIMIT_SECONDS ADDRESS...
JSON lines, one for each request: ``{"began": .., "ended": .., "address": .., "good": true, "host": "wcm", "database":
"10.77.0.31/wcm"}``, or with ``why`` it wasn't. ``HEALTH`` gets /health; ``MARKER`` saves a marker by the WCM's own
token, as an editor's work is saved. One after the other, and after a good one ``PAUSE_SECONDS``: a WCM that is asked as
fast as it can answer is busy with nothing else. One that isn't there costs nothing, and is tried again at once.
"""

import http.client
import itertools
import json
import sys
import time
import urllib.parse

PORT = 8000
AGAIN_SECONDS = 0.05


def ask(address: str, token: str | None, limit_seconds: float, number: int) -> dict[str, object]:
    """One request; what it came to."""
    line: dict[str, object] = {"began": time.time(), "address": address, "good": False}
    link = http.client.HTTPConnection(address, PORT, timeout=limit_seconds)
    try:
        if token is None:
            link.request("GET", "/health")
        else:
            body = urllib.parse.urlencode({"text": f"knock-{number}"})
            kind = "application/x-www-form-urlencoded"
            link.request("POST", "/markers", body, {"Authorization": f"Bearer {token}", "Content-Type": kind})
        answer = link.getresponse()
        said = answer.read()
        line["good"] = answer.status in (200, 201)
        if line["good"]:
            found = json.loads(said)
            line |= {"host": found["host"], "database": found["database"]}
        else:
            line["why"] = str(answer.status)
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        line["why"] = type(error).__name__
    finally:
        link.close()
    return {**line, "ended": time.time()}


def main() -> None:
    """Whoever answered last is asked first."""
    token = None
    if sys.argv[1] == "MARKER":
        with open(sys.argv[2]) as file:
            token = file.read().strip()
    pause, limit_seconds, addresses = float(sys.argv[3]), float(sys.argv[4]), sys.argv[5:]
    for number in itertools.count(1):
        for address in list(addresses):
            line = ask(address, token, limit_seconds, number)
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
            if line["good"]:
                addresses.insert(0, addresses.pop(addresses.index(address)))
                break
        time.sleep(pause if line["good"] else AGAIN_SECONDS)


main()
