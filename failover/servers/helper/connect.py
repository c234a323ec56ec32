"""``connect``: a file that a program reads its connection from is edited, reversibly, and in nothing but that.

Only the keys that the policy names are read or written, secrets never. The file before the edit stays beside it as
``FILE.before-RUN``. The edit is one rename: a reader sees the old file or the new one, and owner, mode, ACLs and the
SELinux label are the old one's. Taking it back puts the old values in their places, so that what somebody else edited
meanwhile stays.
"""

import hashlib
import re
from typing import Any, Dict, List, Tuple

from . import entries, urls
from .core import Answer, Args, Refused, Verb, Work, among, is_int, not_in_policy, text
from .held_file import Held
from .masking import STARS, masked, names_a_secret

FORMATS = ("env", "properties", "ini", "php", "template")
MARK = re.compile(r"@([A-Za-z_][A-Za-z0-9_.]*)@")
"""How a template names a key."""
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@%+,=?~-]+\Z")
"""What a template's value may have: nothing that quotes, ends or escapes anything in any format."""


class File:
    """One file of the policy, and the keys of it that may be touched."""

    def __init__(self, work: Work, path: str) -> None:
        entry = work.policy.connect.get(path)
        if entry is None:
            raise not_in_policy("file", path, work.policy.connect)
        self.path, self.kind = work.policy._path(path), str(entry.get("format"))
        self.keys = [str(key) for key in entry.get("keys", [])]
        self.template = entry.get("template")
        if self.kind not in FORMATS or not self.keys or (self.kind == "template") != isinstance(self.template, str):
            raise Refused("bad-policy", f"{path}: connect: no format, keys or template that can be understood")
        self.held = Held(path)

    def key(self, key: str) -> str:
        """A key, if it may be touched."""
        if key not in self.keys:
            raise not_in_policy(f"key of {self.path}", key, self.keys)
        if names_a_secret(key):
            raise Refused("secret", f"{key} of {self.path} holds a secret, and no request carries one")
        return key

    def values(self, data: bytes, strictly: bool = True) -> Dict[str, str]:
        """Every key's value; of secrets stars. A file that its template never gave has none, or is refused.

        Raises:
            Refused: ``no-such-key``, ``key-twice``, ``no-plain-value``, ``template-differs``.
        """
        if self.kind == "template":
            return self._drawn_from(data, strictly)
        found = {}
        for key in self.keys:
            base, _, piece = key.partition("#")
            value = self._entry(data, base).value
            found[key] = STARS if names_a_secret(base) else self._piece(value, key, piece) if piece else masked(value)
        return found

    def changed(self, data: bytes, wanted: Dict[str, str]) -> bytes:
        """The bytes with other values in the places of the old ones."""
        if self.kind == "template":
            return self._drawn(dict(self._drawn_from(data, strictly=False), **wanted))
        new: Dict[str, Tuple[Any, str]] = {}
        for key, value in wanted.items():
            base, _, piece = self.key(key).partition("#")
            entry, text = new.get(base) or (self._entry(data, base), self._entry(data, base).value)
            try:
                new[base] = entry, urls.with_piece(text, piece, value) if piece else value
            except ValueError as error:
                raise Refused("no-plain-value", f"{key} in {self.path}: {error}") from None
        return _with(data, [(entry, self._written(entry, text)) for entry, text in new.values()])

    def taken_back(self, data: bytes, before: bytes) -> bytes:
        """The bytes with the keys' old values, as they stood there, in the places of the present ones."""
        if self.kind == "template":
            return before
        pairs = []
        for base in dict.fromkeys(key.partition("#")[0] for key in self.keys):
            old = self._entry(before, base)
            pairs.append((self._entry(data, base), before[old.start : old.end]))
        return _with(data, pairs)

    def _entry(self, data: bytes, key: str) -> Any:
        alike = self.kind == "ini"
        found = entries.by_key(entries.entries(self.kind, data), alike).get(key.lower() if alike else key, [])
        lines = [str(data.count(b"\n", 0, entry.start) + 1) for entry in found]
        if not found:
            raise Refused("no-such-key", f"{self.path} has no {key}; it is edited, never added to")
        if len(found) > 1:
            raise Refused("key-twice", f"{self.path} has {key} {len(found)} times, in lines {', '.join(lines)}")
        if found[0].problem:
            raise Refused("no-plain-value", f"{key} in line {lines[0]} of {self.path}: {found[0].problem}")
        return found[0]

    def _piece(self, value: str, key: str, piece: str) -> str:
        try:
            return urls.piece(value, piece)
        except ValueError as error:
            raise Refused("no-plain-value", f"{key} in {self.path}: {error}") from None

    def _written(self, entry: Any, value: str) -> bytes:
        try:
            raw: bytes = entry.write(value)
        except ValueError as error:
            raise Refused("no-plain-value", f"{entry.key} in {self.path}: {error}") from None
        return raw

    # a file that is made whole from another -------------------------------------------------------------------------

    def _pattern(self) -> str:
        held = Held(str(self.template))
        try:
            return entries.decoded(held.data)
        finally:
            held.close()

    def _drawn(self, values: Dict[str, str]) -> bytes:
        for key, value in values.items():
            if not _PLAIN.match(value):
                raise Refused("no-plain-value", f"{value[:100]!r} for {key} could mean more than itself in {self.path}")
        missing = sorted(set(MARK.findall(self._pattern())) - set(values))
        if missing:
            raise Refused("no-such-key", f"{self.template} has @{missing[0]}@, for which there is no value")
        return entries.encoded(MARK.sub(lambda match: values[match.group(1)], self._pattern()))

    def _drawn_from(self, data: bytes, strictly: bool) -> Dict[str, str]:
        """The values that the template was filled with to give these bytes."""
        pattern, seen = "", set()
        for number, part in enumerate(MARK.split(self._pattern())):
            if number % 2 == 0:
                pattern += re.escape(part)
            elif part not in self.keys:
                raise Refused("bad-policy", f"{self.template} has @{part}@, which the policy doesn't name")
            else:
                group = "k" + entries.encoded(part).hex()
                pattern += f"(?P={group})" if part in seen else f"(?P<{group}>[A-Za-z0-9_.:/@%+,=?~-]+?)"
                seen.add(part)
        match = re.match(pattern + r"\Z", entries.decoded(data))
        if match is None and strictly:
            raise Refused("template-differs", f"{self.path} isn't what {self.template} gives, whatever the values")
        return {bytes.fromhex(key[1:]).decode(): value for key, value in (match.groupdict() if match else {}).items()}


def _with(data: bytes, pairs: List[Tuple[Any, bytes]]) -> bytes:
    for entry, raw in sorted(pairs, key=lambda pair: -pair[0].start):
        data = data[: entry.start] + raw + data[entry.end :]
    return data


def ask_connect(work: Work, args: Args) -> Answer:
    """What the file says: the policy's keys and nothing else of it."""
    file = File(work, args["file"])
    try:
        return _described(file, file.held.data, file.values(file.held.data))
    finally:
        file.held.close()


def change_connect(work: Work, args: Args) -> Answer:
    """Set keys, or take back what a run set."""
    file = File(work, args["file"])
    held = file.held
    try:
        if ("set" in args) == ("want" in args):
            raise Refused("bad-request", "connect needs either what to set or 'want': 'restored'")
        if "set" in args:
            data = file.changed(held.data, args["set"])
        else:
            before = held.before(args["run"])
            if before is None:
                raise Refused("no-such-file", f"{file.path} wasn't changed by run {args['run']}: nothing is kept of it")
            data = file.taken_back(held.data, before)
        was, now = file.values(held.data, strictly=False), file.values(data, strictly="set" in args)
        for key, value in args.get("set", {}).items():
            if now[key] != value:
                raise Refused("no-plain-value", f"{key} in {file.path} would be read as {now[key]!r}, not as {value!r}")
        if data != held.data:
            held.replace(work, data, args["run"])
        return dict(_described(file, data, now), before=was, after=now, changed=data != held.data)
    finally:
        held.close()


def _described(file: File, data: bytes, values: Dict[str, str]) -> Answer:
    return {
        "values": values,
        "sha256": hashlib.sha256(data).hexdigest(),
        "kept": [f"{file.path}.before-{run}" for run in file.held.kept()],
    }


def pairs(value: Any) -> bool:
    """A few keys with their new values."""
    return (
        isinstance(value, dict)
        and 0 < len(value) <= 20
        and all(text(200)(key) and text(500)(entry) for key, entry in value.items())
    )


ASKS = {"connect": Verb(ask_connect, {"file": text(4096)}, {})}
CHANGES = {
    "connect": Verb(change_connect, {"file": text(4096), "run": is_int}, {"set": pairs, "want": among("restored")})
}
