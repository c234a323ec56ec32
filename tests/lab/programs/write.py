"""An editor at work: logs in to the WCM, and edits and publishes a page again and again, as a browser would.

usage: write.py PASSWORD_FILE PREFIX EVERY_SECONDS TIMEOUT_SECONDS COUNT ADDRESS...      (of the WCMs, tried in turn)
Prints JSON lines, one when a publication begins, and one with what it came to: ``{"marker": "w-7", "began": ..,
"ended": .., "outcome": "accepted", "wcm": "wcm", "database": "10.77.0.31/wcm"}``. ``refused`` was certainly not
published, and has a reason; ``unknown`` may have been.
"""

import http.client
import json
import re
import sys
import time
import urllib.parse
from html.parser import HTMLParser

PORT, USER, PAGE = 8000, "editor", "marker"
LOGIN = "/admin/login/"
FORM = "page-edit-form"
PUBLISH = {"action-publish": "action-publish"}


class Fields(HTMLParser):
    """The fields of the page's form, as a browser would send them back."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._inside = False
        self._area = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note inputs and text areas of the form; boxes in it aren't ticked."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("id") == FORM
        if self._inside and tag == "input" and "name" in given and given.get("type") not in ("submit", "checkbox"):
            self.values[given["name"]] = given.get("value", "")
        if self._inside and tag == "textarea" and "name" in given:
            self._area = given["name"]
            self.values[self._area] = ""

    def handle_data(self, data: str) -> None:
        """The text of a text area."""
        if self._area:
            self.values[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        """Its end."""
        if tag == "textarea":
            self._area = ""
        if tag == "form":
            self._inside = False


class NotSent(Exception):
    """Nothing was published, for certain; says why."""


class Editor:
    """A browser's session with one WCM."""

    def __init__(self, address: str, password: str, limit_seconds: float) -> None:
        self.address = address
        self._password = password
        self._limit_seconds = limit_seconds
        self._cookies: dict[str, str] = {}
        self._form: dict[str, str] = {}
        self._path = ""

    def publish(self, marker: str) -> dict[str, str]:
        """Publish a marker; what the WCM said of itself. `NotSent`, or any other error if it may have been sent."""
        for _ in range(2):
            if not self._form:
                self._open_page()
            form = {**self._form, "marker": marker, **PUBLISH}
            status, headers, _ = self._ask("POST", self._path, form)
            where = headers.get("location", "")
            if status == 302 and re.fullmatch(r"/admin/pages/\d+/", where):
                return {"wcm": headers.get("x-wcm-host", ""), "database": headers.get("x-wcm-database", "")}
            if status >= 500:
                raise RuntimeError(f"the WCM answered {status}")
            self._form = {}  # logged out, as the database may be another one; or the form isn't the page's any more
        raise NotSent(f"the WCM answered {status} {where}".strip())

    def _open_page(self) -> None:
        try:
            self._log_in()
            status, _, found = self._ask("GET", f"/admin/api/main/pages/?slug={PAGE}&type=bureau.MarkerPage")
            items = json.loads(found)["items"] if status == 200 else []
            if not items:
                raise NotSent(f"the WCM answered {status} and shows no page {PAGE!r}")
            self._path = f"/admin/pages/{items[0]['id']}/edit/"
            status, _, html = self._ask("GET", self._path)
            self._form = Fields(html).values if status == 200 else {}
            if "marker" not in self._form:
                raise NotSent(f"the WCM answered {status} and shows no form for {self._path}")
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            raise NotSent(f"{type(error).__name__}: {error}") from None

    def _log_in(self) -> None:
        self._cookies = {}
        status, _, html = self._ask("GET", LOGIN)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', html)
        if status != 200 or not token:
            raise NotSent(f"the WCM answered {status} to {LOGIN}")
        form = {"csrfmiddlewaretoken": token[1], "username": USER, "password": self._password, "next": "/admin/"}
        status, _, _ = self._ask("POST", LOGIN, form)
        if status != 302:
            raise NotSent(f"the WCM answered {status} to the login")

    def _ask(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, dict[str, str], str]:
        link = http.client.HTTPConnection(self.address, PORT, timeout=self._limit_seconds)
        try:
            try:
                link.connect()
            except OSError as error:
                raise NotSent(f"{type(error).__name__}: {error}") from None
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
            body = None
            if form is not None:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                body = urllib.parse.urlencode(form)
            link.request(method, path, body, headers)
            answer = link.getresponse()
            text = answer.read().decode(errors="replace")
            for cookie in answer.headers.get_all("Set-Cookie") or []:
                name, _, value = cookie.partition(";")[0].partition("=")
                if name != "messages":  # "page published": it would grow for ever, as nobody reads it
                    self._cookies[name] = value
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text
        finally:
            link.close()


def write(editors: list[Editor], marker: str) -> dict[str, object]:
    """Publish one marker by the first WCM that takes it; the one that did comes first the next time."""
    line: dict[str, object] = {"marker": marker, "began": time.time(), "outcome": "begun"}
    say(line)
    line["outcome"] = "refused"
    reasons = []
    for editor in list(editors):
        try:
            line |= {"outcome": "accepted", **editor.publish(marker)}
            editors.insert(0, editors.pop(editors.index(editor)))
            break
        except NotSent as error:
            reasons.append(f"{editor.address}: {error}")
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            line["outcome"] = "unknown"
            reasons.append(f"{editor.address}: {type(error).__name__}: {error}")
            break
    if line["outcome"] != "accepted":
        line["reason"] = "; ".join(reasons)
    return {**line, "ended": time.time()}


def say(line: dict[str, object]) -> None:
    """Print one line, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Keep the rhythm; a beat that is missed is dropped."""
    with open(sys.argv[1]) as file:
        password = file.read().strip()
    prefix, every, limit_seconds, count = sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
    editors = [Editor(address, password, limit_seconds) for address in sys.argv[6:]]
    due = time.monotonic()
    for number in range(1, count + 1):
        say(write(editors, f"{prefix}-{number}"))
        due = max(due + every, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


main()
