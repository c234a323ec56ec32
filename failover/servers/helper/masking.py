"""Passwords taken out of texts from files and logs of the site's own, before anybody else reads them (I17)."""

import re

STARS = "***"
_NAME = re.compile(r"pass(word|wd|phrase)?\b|pwd|secret|token|credential|(api|private|access|secret)[-_.]?key", re.I)
_IN_URL = re.compile(r"(://[^/\s:@'\"]*:)[^/\s@'\"]+(@)")
_ASSIGNED = re.compile(
    r"((?:pass(?:word|wd|phrase)?|pwd|secret|token|credential|(?:api|private|access|secret)[-_.]?key)"
    r"[\"']?\s*[=:]\s*[\"']?)[^\s\"'&;,]+",
    re.I,
)


def names_a_secret(key: str) -> bool:
    """Whether a setting of that name holds something that nobody may read."""
    return bool(_NAME.search(key))


def masked(text: str) -> str:
    """The text with what looks like a password replaced by stars."""
    return _ASSIGNED.sub(r"\g<1>" + STARS, _IN_URL.sub(r"\g<1>" + STARS + r"\g<2>", text))
