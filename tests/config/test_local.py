"""What a ``local`` check needn't say, since it is the same for every monitor."""

from __future__ import annotations

from pathlib import Path

from failover.config.load import load
from failover.probes.local import LocalProbe
from tests.config.conftest import LAB, put


def local(folder: Path, check: str, more: str = "") -> LocalProbe:
    text = LAB.read_text().replace("checks:\n", f"checks:\n  monitor: {check}\n") + more
    found = load(put(folder, text)).site().checks["monitor"]
    assert isinstance(found, LocalProbe)
    return found


def test_it_watches_every_service_address_and_the_journals_folder(tmp_path: Path) -> None:
    found = local(tmp_path, "{kind: local}", f"\nstore: {{path: {tmp_path}/state}}\n")
    assert found.addresses == ("www", "www6")
    assert found.state_dir == tmp_path / "state"
    assert found.max_lag == 0.2


def test_what_it_says_itself_stays(tmp_path: Path) -> None:
    found = local(tmp_path, "{kind: local, addresses: [www6], state_dir: /srv/journal, every: 30s}")
    assert (found.addresses, found.state_dir, found.every) == (("www6",), Path("/srv/journal"), 30.0)
