"""What a web page must be like to count as up: a 200 with the wrong page is down (FAULTS.md, P2)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from failover.errors import Unhealthy

_CLASS = re.compile(r"[1-5]xx")
_CHARSET = re.compile(rb"""charset\s*=\s*["']?([A-Za-z0-9_.:-]+)""", re.IGNORECASE)


def _many(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_many)]
"""One text or several."""
Statuses = Annotated[tuple[int | str, ...], BeforeValidator(_many), Field(min_length=1)]
"""``200``, ``[200, 304]`` or ``2xx``."""


class HttpExpect(BaseModel):
    """``expect: {status: 200, contains: 统计, header: {X-Served-By: web}}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Statuses = Field(default=("2xx",), description="Status codes that are right: `200`, `[200, 304]` or `2xx`.")
    contains: Texts = Field(default=(), description="Texts that must all be on the page.")
    not_contains: Texts = Field(default=(), description="Texts of which none may be on the page.")
    header: Mapping[str, str] = Field(
        default_factory=dict,
        description="Headers of the reply and a text that each must contain; `{holder}` and `{server}` are the *names*"
        " of servers here, so that a page can show who served it.",
    )
    max_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1, le=64 * 1024 * 1024, description="A longer page counts as down."
    )
    max_seconds: float | None = Field(default=None, gt=0, description="A slower reply counts as down.")

    @field_validator("status")
    @classmethod
    def _are_statuses(cls, value: tuple[int | str, ...]) -> tuple[int | str, ...]:
        for each in value:
            good = 100 <= each <= 599 if isinstance(each, int) else _CLASS.fullmatch(each)
            if not good:
                raise ValueError(f"{each!r} is no HTTP status; write it as 200, [200, 304] or 2xx")
        return value

    @model_validator(mode="after")
    def _texts_agree(self) -> Self:
        for text in self.contains:
            if text in self.not_contains:
                raise ValueError(f"{text!r} stands in both contains and not_contains")
        return self

    @property
    def reads_body(self) -> bool:
        """Whether the page itself matters, not only its head and its length."""
        return bool(self.contains or self.not_contains)

    def takes(self, status: int) -> bool:
        """Whether the status code is right."""
        return any(status == each if isinstance(each, int) else status // 100 == int(each[0]) for each in self.status)

    def says(self) -> str:
        """The right status codes, as a sentence names them."""
        return " or ".join(map(str, self.status))

    def judge_body(self, body: bytes, content_type: str, encoding: str) -> None:
        """Looks for the texts. Raises Unhealthy naming the first that is missing, or that mustn't be there."""
        page = unpack(body, encoding, self.max_bytes)
        charset = _charset(page, content_type)
        for text in self.contains:
            if not _found(text, page, charset):
                raise Unhealthy(f"the page doesn't contain {text!r} ({len(page)} bytes, {charset})")
        for text in self.not_contains:
            if _found(text, page, charset):
                raise Unhealthy(f"the page contains {text!r}, which it mustn't")


def unpack(body: bytes, encoding: str, at_most: int) -> bytes:
    """The page as it was before ``Content-Encoding``, for servers that pack it though they were asked not to.

    Raises:
        Unhealthy: it's garbled, packed in an unknown way, or would fill more than ``at_most`` bytes: a gzip bomb of
            200 KB unpacks to 200 MB, so the cap is on what comes out.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Unhealthy(f"the page comes packed as {encoding!r}, though plain text was asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip or zlib, whichever its first bytes say
    try:
        page = unpacker.decompress(body, at_most + 1)
    except zlib.error as error:
        raise Unhealthy(f"the page is said to be {encoding} and isn't: {error}") from error
    if len(page) > at_most:
        raise Unhealthy(f"the page unpacks to more than {at_most} bytes")
    return page


def _charset(page: bytes, content_type: str) -> str:
    """By header, else by what the page says of itself, else UTF-8. Many a Chinese site still speaks GBK."""
    named = _CHARSET.search(content_type.encode("latin-1", "replace")) or _CHARSET.search(page, 0, 1024)
    charset = named[1].decode("ascii") if named else "utf-8"
    # GB 18030 holds everything that GB 2312 and GBK hold at the same places, and more.
    return "gb18030" if charset.lower() in ("gb2312", "gbk", "x-gbk", "gb_2312-80") else charset


def _found(text: str, page: bytes, charset: str) -> bool:
    try:
        return text.encode(charset) in page
    except (LookupError, UnicodeEncodeError):
        return text.encode() in page
