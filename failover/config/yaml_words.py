"""What the YAML parser says, as a person who wrote the file understands it."""

from __future__ import annotations

import re

import yaml

_NO_SPACE = re.compile(r"\s*(?:- )?[\w.-]+:[^\s/]")
_WIDE = {"：": ":", "，": ",", "“": '"', "”": '"', "‘": "'", "’": "'", "［": "[", "］": "]", "｛": "{", "｝": "}"}
"""What a Chinese keyboard puts where YAML wants ASCII; it looks right and is text."""

_PLAINLY = {
    "mapping values are not allowed in this context": "a ':' doesn't belong here; put text that has one in quotes, and"
    " give each key a line of its own",
    "could not find expected ':'": "a key without its ':'",
    "did not find expected ',' or ']'": "the list that was opened with '[' isn't closed, or a ',' is missing",
    "did not find expected ',' or '}'": "the mapping that was opened with '{' isn't closed, or a ',' is missing",
    "did not find expected '-' indicator": "every line of this list begins with '-'; this one doesn't",
    "did not find expected key": "a key was expected here; look at the indentation of this line and of the one before",
    "found unexpected end of stream": "the text that was opened with a quote isn't closed",
    "found incompatible YAML document": "it asks for another version of YAML; leave the %YAML line out",
}


def not_yaml(error: yaml.MarkedYAMLError, text: str) -> tuple[int, int, str]:
    """Line and column, from 1, and a sentence."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return 1, 1, f"not YAML: {error.problem or error}"
    line, column = mark.line + 1, mark.column + 1
    said = str(error.problem)
    if said == "found unexpected end of stream" and error.context_mark is not None:
        line, column = error.context_mark.line + 1, error.context_mark.column + 1  # where the quote was opened
    lines = text.split("\n")
    here = lines[line - 1] if line <= len(lines) else ""
    if "cannot start any token" in said:
        if "\t" in here[:column]:
            return line, column, "not YAML: a tab can't indent; use spaces"
        return line, column, f"not YAML: text can't begin with {here[column - 1 : column]!r}; put it in quotes"
    return line, column, f"not YAML: {_PLAINLY.get(said, said)}{hint(text, line) or hint(text, line - 1)}"


def hint(text: str, line: int) -> str:
    """What is often wrong with such a line, counted from 1: full-width punctuation, or no space after the ``:``."""
    lines = text.split("\n")
    here = lines[line - 1] if 1 <= line <= len(lines) else ""
    if found := next((character for character in here if character in _WIDE), None):
        return f"; the {found!r} in line {line} is full-width, YAML wants {_WIDE[found]!r}"
    if _NO_SPACE.match(here):
        return f"; in line {line} the space after ':' is missing"
    return ""
