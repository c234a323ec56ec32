"""``failover`` as people type it, and a config in a file that nobody else may write."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from failover.cli.main import main

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "tests/config/good.yaml"
LAB = ROOT / "configs/lab.yaml"


class Said(NamedTuple):
    code: int | str | None
    out: str
    err: str


Failover = Callable[..., Said]


@pytest.fixture
def failover(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Failover:
    """The program, without a terminal."""

    def run(*words: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["failover", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Said(end.value.code, said.out, said.err)

    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.delenv("FAILOVER_CONFIG", raising=False)
    return run


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return put(tmp_path, LAB.read_text())


def put(folder: Path, text: str) -> Path:
    file = folder / "failover.yaml"
    file.write_text(text)
    file.chmod(0o640)
    return file
