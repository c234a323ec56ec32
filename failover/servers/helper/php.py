"""PHP files that define constants: ``define('DB_HOST', 'db');`` and ``const DB_HOST = 'db';``, by PHP's own tokens.

Comments, other strings, heredocs and what stands outside of ``<?php`` never count, so that an example in a comment
isn't taken for the setting.
"""

import re
from typing import List, NamedTuple, Tuple

from .entries import Entry, decoded, in_quotes

_TOKEN = re.compile(
    rb"(?P<comment>//[^\n]*?(?=\?>|\n|\Z)|\#(?!\[)[^\n]*?(?=\?>|\n|\Z)|/\*.*?(?:\*/|\Z))"
    rb"|(?P<heredoc><<<[ \t]*(?P<q>[\"']?)(?P<tag>[A-Za-z_]\w*)(?P=q)\r?\n.*?^[ \t]*(?P=tag)\b)"
    rb"|(?P<single>'(?:\\.|[^\\'])*')"
    rb"|(?P<double>\"(?:\\.|[^\\\"])*\")"
    rb"|(?P<end>\?>)"
    rb"|(?P<name>[A-Za-z_\\][\w\\]*)"
    rb"|(?P<number>\d+(?:\.\d+)?)"
    rb"|(?P<space>\s+)"
    rb"|(?P<other>.)",
    re.S | re.M | re.X,
)
Token = NamedTuple("Token", [("kind", str), ("text", bytes), ("start", int), ("end", int)])


def tokens(data: bytes) -> List[Token]:
    """What PHP would read, comments and blanks left out."""
    found: List[Token] = []
    place = _opening(data, 0)
    while 0 <= place < len(data):
        match = _TOKEN.match(data, place)
        if match is None:
            break
        kind, place = str(match.lastgroup if match.lastgroup not in ("q", "tag") else "heredoc"), match.end()
        if kind == "end":
            place = _opening(data, place)
        elif kind not in ("comment", "space"):
            found.append(Token(kind, match.group(), match.start(), match.end()))
    return found


def _opening(data: bytes, place: int) -> int:
    match = re.compile(rb"<\?(?:php\b|=)", re.I).search(data, place)
    return match.end() if match else -1


def php(data: bytes) -> List[Entry]:
    """Constants with their values. A value that isn't one string or number is found with the reason why not."""
    found: List[Entry] = []
    read = tokens(data)
    for at, token in enumerate(read):
        words = [later.text.lower() for later in read[at : at + 4]]
        if token.kind != "name" or (at and read[at - 1].text in (b"->", b">", b"function", b"$")):
            continue
        if words[:2] in ([b"define", b"("], [b"\\define", b"("]) and words[3:4] == [b","]:
            key, value, closes = read[at + 2], read[at + 4 : at + 6], (b")", b",")
            if key.kind in ("single", "double"):
                found += _constant(_string(key), value, closes)
        elif words[:1] == [b"const"] and words[2:3] == [b"="]:
            found += _constant(decoded(read[at + 1].text), read[at + 3 : at + 5], (b";", b","))
    return found


def _constant(key: str, value: List[Token], closes: Tuple[bytes, ...]) -> List[Entry]:
    if len(value) < 2:
        return []
    first, after = value
    problem = "" if after.text in closes else "it is put together of several parts"
    if first.kind == "single":
        return [Entry(key, first.start, first.end, _string(first), in_quotes("'", "'\\"), problem)]
    if first.kind == "double":
        if re.search(rb"(?<!\\)\$", first.text):
            problem = "it is put together from other values"
        return [Entry(key, first.start, first.end, _string(first), in_quotes('"', '"\\$'), problem)]
    if first.kind == "number":
        return [Entry(key, first.start, first.end, decoded(first.text), _number, problem)]
    return [Entry(key, first.start, first.end, "", _number, "it is no plain string, but something to be computed")]


def _string(token: Token) -> str:
    inside = decoded(token.text[1:-1])
    return re.sub(r"\\([\\'])" if token.kind == "single" else r'\\([\\"$])', r"\1", inside)


def _number(value: str) -> bytes:
    if not re.match(r"\d{1,18}\Z", value):
        raise ValueError(f"{value[:50]!r} is no number, and a number stands there without quotes")
    return value.encode()
