"""What the documentation points at is there, and what is there is documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from failover.cli.main import COMMANDS
from failover.notify import AnyChannel
from failover.probes import AnyProbe
from failover.recover.steps import AnyStep

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def kinds(union: object) -> set[str]:
    found: set[str] = set()
    for member in get_args(union):
        fields = getattr(member, "model_fields", None)
        found |= {str(fields["kind"].default)} if fields else kinds(member)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        place, _, anchor = target.partition("#")
        file = (page.parent / place).resolve() if place else page
        assert file.exists(), f"{page.name} points at {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name} points at {target}"


def test_every_alert_has_its_runbook() -> None:
    rules = (ROOT / "configs/prometheus/failover.rules.yml").read_text()
    wanted = set(re.findall(r"runbook_url: \S+/operating\.md#(\S+)", rules))
    assert len(wanted) >= 15
    assert wanted <= anchors(ROOT / "docs/operating.md")


@pytest.mark.parametrize("union", [AnyProbe, AnyStep, AnyChannel], ids=["probes", "steps", "channels"])
def test_every_kind_is_documented(union: object) -> None:
    page = (ROOT / "docs/config.md").read_text()
    found = kinds(union)
    assert len(found) >= 2
    assert [kind for kind in sorted(found) if f"`{kind}`" not in page] == []


def test_every_command_says_what_it_is_for() -> None:
    assert [name for name, entry in COMMANDS.items() if not entry.says] == []
