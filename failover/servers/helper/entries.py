"""Files that programs read their settings from, as a list of places where a value stands (``connect``).

Each format finds its values' places in the bytes and nothing more, so that an edit is a few bytes put in the place of
others: comments, order, quoting, line ends and all that isn't understood stay as they are. What can't be replaced for
certain (a value over several lines, put together from others) is found too, with the reason why not.
"""

import re
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

Entry = NamedTuple(
    "Entry",
    [
        ("key", str),
        ("start", int),
        ("end", int),
        ("value", str),
        ("write", Callable[[str], bytes]),
        ("problem", str),
    ],
)
"""A value, the bytes that it stands in (quotes included), how another is written there, and why it can't be."""

PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=\[\]~-]*\Z")
"""Every reader takes these for themselves."""


def entries(kind: str, data: bytes) -> List[Entry]:
    """Every value in a file of that format, in the order of the file."""
    from .php import php

    found = {"env": env, "properties": properties, "ini": ini, "php": php}[kind](data)
    return sorted(found, key=lambda entry: entry.start)


def decoded(raw: bytes) -> str:
    """Bytes as text, whatever they are; ``encoded`` gives them back unchanged."""
    return raw.decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    """See ``decoded``."""
    return text.encode("utf-8", "surrogateescape")


def lines_of(data: bytes) -> List[Tuple[int, bytes]]:
    """Each line with its place, without its line end."""
    found, start = [], 3 if data.startswith(b"\xef\xbb\xbf") else 0
    for line in data[start:].splitlines(True):
        found.append((start, line.rstrip(b"\r\n")))
        start += len(line)
    return found


def in_quotes(mark: str, forbidden: str) -> Callable[[str], bytes]:
    """Writes a value in these quotes; what readers would take differently there is refused."""

    def write(value: str) -> bytes:
        odd = sorted(set(value) & set(forbidden))
        if odd:
            raise ValueError(f"{odd[0]!r} can't stand in {mark}quotes{mark} so that every program reads the same")
        return encoded(f"{mark}{value}{mark}")

    return write


def bare(old: str) -> Callable[[str], bytes]:
    """Writes a value without quotes: plain characters, and those that the old value had there too."""

    def write(value: str) -> bytes:
        odd = [character for character in value if not PLAIN.match(character) and character not in old]
        if odd or not value:
            raise ValueError(f"{(odd or [''])[0]!r} can't stand without quotes: put the value in quotes in the file")
        return encoded(value)

    return write


# ---------------------------------------------------------------------------------------------------------------------
# NAME=value, as shells, systemd (EnvironmentFile) and .env readers have it

_ASSIGNMENT = re.compile(rb"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*")


def env(data: bytes) -> List[Entry]:
    """Assignments; one that begins inside of another's quotes is none."""
    found: List[Entry] = []
    quoted_to = 0
    continued = False
    for start, line in lines_of(data):
        match = _ASSIGNMENT.match(line)
        inside, was_continued = start < quoted_to, continued
        continued = line.endswith(b"\\") and not line.lstrip().startswith(b"#")
        if match is None or inside or was_continued:
            continue
        at = start + match.end()
        entry = _assigned(decoded(match.group(1)), data, at, start + len(line))
        quoted_to = entry.end
        found.append(entry)
    return found


def _assigned(key: str, data: bytes, at: int, end: int) -> Entry:
    mark = data[at : at + 1]
    if mark in (b"'", b'"') and at < end:
        close = _closing(data, at, mark)
        if close < 0:
            return Entry(key, at, end, "", bare(""), "its quotes aren't closed")
        value, after = decoded(data[at + 1 : close]), data[close + 1 : max(end, close + 1)]
        problem = ""
        if b"\n" in data[at:close]:
            problem = "it goes over several lines"
        elif after.strip() and after[:1] not in (b" ", b"\t"):
            problem = "it is put together of several parts"
        elif re.match(rb"[ \t]+[^ \t#]", after):
            problem = "more stands on its line"
        elif mark == b'"' and re.search(r"(?<!\\)[$`]", value):
            problem = "it is put together from other values"
        if mark == b'"':
            value = re.sub(r'\\(["\\$`])', r"\1", value)
            return Entry(key, at, close + 1, value, in_quotes('"', '"\\$`'), problem)
        return Entry(key, at, close + 1, value, in_quotes("'", "'"), problem)
    comment = re.search(rb"[ \t]+#|[ \t]*\Z", data[at:end])
    stop = at + (comment.start() if comment else end - at)
    value, problem = decoded(data[at:stop]), ""
    if data[at:end].endswith(b"\\"):
        problem = "it goes over several lines"
    elif re.search(r"[\"'\\$`]", value):
        problem = "it is put together from other values"
    elif re.search(r";(\s|\Z)", value):
        problem = "more stands on its line"
    return Entry(key, at, stop, value, bare(value), problem)


def _closing(data: bytes, at: int, mark: bytes) -> int:
    """Where the quotes that open at ``at`` close; -1 where they don't."""
    place = at + 1
    while place < len(data):
        if data[place : place + 1] == b"\\" and mark == b'"':
            place += 2
        elif data[place : place + 1] == mark:
            return place
        else:
            place += 1
    return -1


# ---------------------------------------------------------------------------------------------------------------------
# Java properties (java.util.Properties.load)

_PAIR = re.compile(rb"[ \t\f]*((?:\\.|[^\\=: \t\f])+)(?:[ \t\f]*[=:][ \t\f]*|[ \t\f]+|\Z)")


def properties(data: bytes) -> List[Entry]:
    """Keys and values. A value ends with its line, blanks included; a backslash at its end goes on with the next."""
    found: List[Entry] = []
    continued = False
    for start, line in lines_of(data):
        was_continued = continued
        comment = not was_continued and line.lstrip(b" \t\f")[:1] in (b"#", b"!")
        continued = not comment and (len(line) - len(line.rstrip(b"\\"))) % 2 == 1
        match = _PAIR.match(line)
        if comment or was_continued or match is None:
            continue
        raw = line[match.end() :].decode("latin-1")
        problem = "it goes over several lines" if continued else ""
        key = _unescaped(match.group(1).decode("latin-1"))
        place = start + match.end()
        found.append(Entry(key, place, start + len(line), _unescaped(raw), _as_property(raw), problem))
    return found


def _unescaped(text: str) -> str:
    letters = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}

    def plain(match: Any) -> str:
        word = match.group(1)
        return chr(int(word[1:], 16)) if len(word) == 5 else letters.get(word, word)

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", plain, text)


def _as_property(old: str) -> Callable[[str], bytes]:
    escaped = {character for character in "=:#!" if "\\" + character in old}

    def write(value: str) -> bytes:
        text = value.replace("\\", "\\\\")
        text = "".join("\\" + character if character in escaped else character for character in text)
        text = "\\" + text if text[:1] == " " else text
        return b"".join(
            character.encode() if ord(character) < 128 else b"\\u%04x" % unit
            for character in text
            for unit in _utf16(character)
        )

    return write


def _utf16(character: str) -> List[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[place : place + 2], "big") for place in range(0, len(data), 2)]


# ---------------------------------------------------------------------------------------------------------------------
# INI: sections with keys; a key is named SECTION.KEY

_SECTION = re.compile(rb"[ \t]*\[([^\]]*)\]")
_KEY = re.compile(rb"[ \t]*([^\s=:;#\[][^=:]*?)[ \t]*[=:][ \t]*")


def ini(data: bytes) -> List[Entry]:
    """Keys and values; ``host`` in ``[database]`` is ``database.host``."""
    found: List[Entry] = []
    section = ""
    rows = lines_of(data)
    for number, (start, line) in enumerate(rows):
        named = _SECTION.match(line)
        match = _KEY.match(line)
        if named is not None:
            section = decoded(named.group(1)).strip()
            continue
        if match is None or line.lstrip()[:1] in (b";", b"#"):
            continue
        name = decoded(match.group(1))
        key = f"{section}.{name}" if section else name
        after = rows[number + 1][1] if number + 1 < len(rows) else b""
        found.append(_of_ini(key, data, start + match.end(), start + len(line), _deeper(line, after)))
    return found


def _deeper(line: bytes, after: bytes) -> bool:
    """Whether the next line goes on with this one's value, as configparser reads it."""
    own, its = len(line) - len(line.lstrip()), len(after) - len(after.lstrip())
    return its > own and bool(after.strip()) and after.lstrip()[:1] not in (b";", b"#", b"[")


def _of_ini(key: str, data: bytes, at: int, end: int, goes_on: bool) -> Entry:
    problem = "it goes over several lines" if goes_on else ""
    for mark in ('"', "'"):
        if data[at : at + 1] == mark.encode():
            close = data.find(mark.encode(), at + 1, end)
            if close < 0:
                return Entry(key, at, end, "", bare(""), "its quotes aren't closed")
            rest = data[close + 1 : end].strip()
            if rest and rest[:1] not in (b";", b"#"):
                problem = "more stands on its line"
            return Entry(key, at, close + 1, decoded(data[at + 1 : close]), in_quotes(mark, mark + "\\$"), problem)
    comment = re.search(rb"[ \t]+[;#]|[ \t]*\Z", data[at:end])
    stop = at + (comment.start() if comment else end - at)
    value = decoded(data[at:stop])
    return Entry(key, at, stop, value, bare(value + "?&"), problem)


def by_key(found: List[Entry], alike: bool) -> Dict[str, List[Entry]]:
    """Entries by key; ``alike``: in formats whose readers take ``Host`` and ``host`` for one key."""
    keys: Dict[str, List[Entry]] = {}
    for entry in found:
        keys.setdefault(entry.key.lower() if alike else entry.key, []).append(entry)
    return keys
