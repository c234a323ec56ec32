"""A JSON template posted to a URL: chat robots, SMS gateways, Alertmanager-like receivers."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx
from pydantic import Field, JsonValue, field_validator, model_validator

from failover.errors import NotificationError
from failover.model import Span
from failover.notify.base import Channel, Message, plain, read_secret

for _name in ("httpx", "httpcore"):  # at INFO they log whole URLs, and robots' URLs hold their key (I17)
    logging.getLogger(_name).setLevel(logging.WARNING)

MAX_ANSWER_BYTES = 65_536
PLACEHOLDERS = ("severity", "site", "title", "text", "key", "at")
_PLACE = re.compile(r"\{([a-z_]+)\}")
DEFAULT_BODY: Mapping[str, JsonValue] = {name: f"{{{name}}}" for name in PLACEHOLDERS}

PERMANENT_CODES = frozenset({310000, 19021, 19024, 93000})
"""Wrong signature or keyword: DingTalk 310000, Feishu 19021 and 19024; WeCom's key is wrong: 93000."""


class WebhookChannel(Channel):
    """``{kind: webhook, url_file: secrets/robot-url, body: {msgtype: text, text: {content: "{title}"}}}``."""

    kind: Literal["webhook"] = "webhook"
    url: str | None = Field(
        default=None, pattern=r"^https?://", description="Where to post. With a key in it: url_file."
    )
    url_file: Path | None = Field(default=None, description="File that holds the URL, mode 0600, for URLs with a key.")
    body: dict[str, JsonValue] = Field(
        default_factory=lambda: dict(DEFAULT_BODY),
        description="What is posted, as JSON; {severity} {site} {title} {text} {key} {at} are filled in.",
    )
    bearer_file: Path | None = Field(default=None, description="File that holds a bearer token, mode 0600.")
    ca_file: Path | None = Field(default=None, description="Certificate authorities to trust instead of the system's.")
    max_text: int = Field(default=2000, ge=100, le=16_384, description="Most bytes of {text}; WeCom takes 2048.")
    timeout: Span = Field(default=10.0, description="Total time that one attempt may take.")

    @field_validator("body")
    @classmethod
    def _placeholders_exist(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        unknown = sorted({name for name in _PLACE.findall(json.dumps(value)) if name not in PLACEHOLDERS})
        if unknown:
            raise ValueError(f"unknown placeholder {{{unknown[0]}}}; there are {' '.join(PLACEHOLDERS)}")
        return value

    @model_validator(mode="after")
    def _one_url(self) -> WebhookChannel:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("give either url or url_file")
        return self

    @property
    def room_bytes(self) -> int:
        """``max_text``."""
        return self.max_text

    def filled(self, message: Message) -> JsonValue:
        """The body for a message. Values go in as whole strings, so no text can change the body's shape."""
        values = {
            "severity": str(message.severity),
            "site": message.site,
            "title": plain(message.title, one_line=True)[:300],
            "text": _cut(plain(message.text or message.title), self.max_text),
            "key": message.scoped_key,
            "at": message.at.isoformat(timespec="seconds"),
        }
        return _fill(self.body, values)

    async def send(self, message: Message) -> str:
        """Post within ``timeout``, all of it, and believe the answer's own code more than HTTP's."""
        url = self.url or read_secret(self.url_file or Path())
        headers = {"Accept-Encoding": "identity", "Idempotency-Key": quote(message.scoped_key, safe="/")}
        if self.bearer_file:
            headers["Authorization"] = f"Bearer {read_secret(self.bearer_file)}"
        verify: Any = True if self.ca_file is None else httpx.create_ssl_context(verify=str(self.ca_file))
        try:
            async with asyncio.timeout(self.timeout):
                client = httpx.AsyncClient(trust_env=False, timeout=self.timeout, verify=verify)
                async with client, client.stream("POST", url, json=self.filled(message), headers=headers) as response:
                    answer = b""
                    async for chunk in response.aiter_raw(4096):
                        answer += chunk
                        if len(answer) > MAX_ANSWER_BYTES:
                            break
        except TimeoutError as error:
            raise NotificationError(f"the webhook didn't answer within {self.timeout:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # never str(error) of an InvalidURL, nor the request: the URL may be the secret
            what = plain(str(error), one_line=True) if isinstance(error, httpx.TransportError) else ""
            raise NotificationError(f"the webhook can't be reached: {what or type(error).__name__}") from error
        return judge(response.status_code, answer)


def judge(status: int, answer: bytes) -> str:
    """What a robot's answer means. Robots say no with HTTP 200 and ``errcode`` or ``code``; only 0 is yes.

    Raises:
        NotificationError: it said no.
    """
    said = plain(answer[:300].decode("utf-8", "replace"), one_line=True)
    if not 200 <= status < 300:
        permanent = 400 <= status < 500 and status not in (408, 425, 429)
        raise NotificationError(f"the webhook answered HTTP {status}: {said}", permanent=permanent)
    try:
        body = json.loads(answer)
    except ValueError:
        return f"HTTP {status}"
    if isinstance(body, dict):
        for name in ("errcode", "code"):
            code = body.get(name)
            if code is not None and str(code) not in ("0", "200", "ok", "OK", "success"):
                raise NotificationError(
                    f"the webhook answered HTTP {status} with {name} {code}: {said}", permanent=code in PERMANENT_CODES
                )
    return f"HTTP {status}: {said}"


def _cut(text: str, most_bytes: int) -> str:
    """At most that many bytes of UTF-8, cut between characters."""
    raw = text.encode()
    return text if len(raw) <= most_bytes else raw[: most_bytes - 3].decode("utf-8", "ignore") + "…"


def _fill(template: JsonValue, values: Mapping[str, str]) -> JsonValue:
    if isinstance(template, str):
        return _PLACE.sub(lambda found: values.get(found[1], found[0]), template)
    if isinstance(template, dict):
        return {name: _fill(value, values) for name, value in template.items()}
    if isinstance(template, list):
        return [_fill(value, values) for value in template]
    return template
