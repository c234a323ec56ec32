"""``answers``: visitors are served, seen from the monitor and from a third place."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field

from failover.errors import ServerError, StepUnfinished
from failover.model import Span, State, format_span
from failover.recover.problem import Problem, Severity
from failover.recover.scene import Page, Scene
from failover.recover.step import Step, Todo

_SEE_SECONDS = 2.0
_SOON_SECONDS = 14 * 86400.0
"""A certificate that ends sooner is worth a hint; the site's own `tls` check is what calls people."""


class Answers(Step):
    """A check looks up, and another server gets the page from the new holder itself.

    The second look is taken at HTTP level from a third place, because a switch that drops the new holder's answers
    (port security, ARP inspection) leaves it looking well to itself and to the monitor.
    """

    kind: Literal["answers"] = "answers"
    check: str = Field(description="The check that must look up.")
    contains: str | None = Field(default=None, min_length=1, description="Text that the page must contain.")
    marker: str | None = Field(
        default=None,
        description="A header by which a page names its server, as `X-Served-By`: it must name the new one.",
    )
    within: Span = Field(default=10.0, gt=0, description="How long it may take until both have seen it.")
    every: Span = Field(default=0.1, ge=0.02, description="Time between two looks.")

    def title(self, scene: Scene) -> str:
        """See :class:`Step`."""
        return f"{self.check} answers from {scene.new}"

    def todo(self, scene: Scene) -> Todo:
        """See :class:`Step`. Changes nothing: looks until both see it, or the time is over."""
        if scene.dry:
            return
        yield from ()
        give_up = scene.clock() + self.within
        while True:
            reading = scene.look(self.check, scene.new)
            up = reading.state is State.UP
            seen, said = self._third_place(scene) if up else (False, "nobody else was asked")
            if up and seen:
                if said:
                    scene.note(said)
                return
            if scene.clock() >= give_up:
                raise StepUnfinished(
                    f"{self.check} doesn't answer from {scene.new}: the monitor sees {reading.state}: "
                    f"{reading.reason}; from a third place: {said}",
                    serves=up,
                )
            scene.wait(self.every)

    def _third_place(self, scene: Scene) -> tuple[bool, str]:
        page = scene.page(self.check, scene.new)
        if page is None:
            return True, ""  # not a page, so only the check's own probe knows how to look
        unseen: list[str] = []
        couldnt: list[str] = []
        for other in scene.others():
            try:
                against = self._look_from(scene, other, page)
            except ServerError as error:
                couldnt.append(str(error))
                continue
            if against is None:
                return True, "; ".join(unseen)
            unseen.append(f"{other} {against}")
        if unseen:
            return False, "; ".join(unseen)
        why = "; ".join(couldnt) or "there is no other server"
        return True, f"only the monitor saw that {self.check} answers, no third place could look: {why}"

    def _look_from(self, scene: Scene, other: str, page: Page) -> str | None:
        args: dict[str, object] = {"url": page.url, "timeout_seconds": _SEE_SECONDS}
        if page.host is not None:
            args["host"] = page.host
        if text := self.contains or page.contains:
            args["contains"] = text
        answer = scene.server(other).ask("see", within_seconds=_SEE_SECONDS + 1, **args)
        if not answer["seen"]:
            return f"doesn't see it: {answer['reason']}"
        if (wrong := _wrong_status(answer["status"], page)) is not None:
            return wrong
        if self.marker is not None:
            headers = {str(name).lower(): str(value) for name, value in (answer.get("headers") or {}).items()}
            found = headers.get(self.marker.lower())
            if found != scene.new:
                return f"was served by {found or 'somebody without a name'} ({self.marker}), not by {scene.new}"
        return self._wrong_neighbour(scene, answer.get("mac"), page)

    def _wrong_neighbour(self, scene: Scene, mac: object, page: Page) -> str | None:
        """Whether the third place reached another machine than the new holder, where it is its neighbour."""
        host = urlsplit(page.url).hostname or ""
        if not mac or host not in {scene.addresses[name].host for name in scene.role.addresses}:
            return None
        own = scene.server(scene.new).ask("address", ip=host).get("mac")
        if own and str(mac).lower() != str(own).lower():
            return f"reached {mac}, and {scene.new} is {own}"
        return None

    def problems(self, scene: Scene) -> Iterator[Problem]:
        """See :class:`Step`. Asks a third place for the page at the standby's own address, where it must be served."""
        page = scene.page(self.check, scene.new)
        parts = urlsplit(page.url) if page else None
        if page is None or parts is None or parts.hostname is None:
            return
        if parts.scheme == "https" and scene.role.addresses:
            yield from self._certificate(scene)
        if parts.scheme != "http":
            return  # another server's look doesn't tell a name apart from an address
        if parts.hostname not in {scene.addresses[name].host for name in scene.role.addresses}:
            return
        own = scene.hosts[scene.new]
        netloc = f"[{own}]" if ipaddress.ip_address(own).version == 6 else own
        url = urlunsplit(parts._replace(netloc=f"{netloc}:{parts.port}" if parts.port else netloc))
        args: dict[str, object] = {"url": url, "timeout_seconds": _SEE_SECONDS, "host": page.host or parts.hostname}
        if text := self.contains or page.contains:
            args["contains"] = text
        said: list[Problem] = []
        for other in scene.others():
            try:
                answer = scene.server(other).ask("see", within_seconds=_SEE_SECONDS + 1, **args)
            except ServerError as error:
                said.append(Problem(str(error), "hint", other, scene.now()))
                continue
            wrong = answer["reason"] if not answer["seen"] else _wrong_status(answer["status"], page)
            if wrong is not None:
                text = f"{scene.new} doesn't serve {self.check} yet: {other} asked {url}: {wrong}"
                yield Problem(text, "stops", scene.new, scene.now())
            return
        yield from said  # a run can do without a third place, and says so

    def _certificate(self, scene: Scene) -> Iterator[Problem]:
        """Visitors' browsers would refuse what the standby shows: asked there, with the site's name (SNI)."""
        reading = scene.certificate(self.check, scene.new)
        if reading is None:
            return
        at, where = reading.at, f"asked at {scene.new}"
        if reading.state is not State.UP:
            severity: Severity = "stops" if reading.state is State.DOWN else "hint"
            yield Problem(f"the certificate for {self.check}, {where}: {reading.reason}", severity, scene.new, at)
            return
        ends = reading.values.get("ssl_earliest_cert_expiry")
        if ends is not None and ends - scene.now().timestamp() < _SOON_SECONDS:
            left = format_span(max(0.0, ends - scene.now().timestamp()))
            yield Problem(f"the certificate for {self.check}, {where}, ends in {left}", "hint", scene.new, at)


def _wrong_status(status: int, page: Page) -> str | None:
    good = status in page.statuses if page.statuses else 200 <= status < 400
    return None if good else f"was answered with status {status}"
