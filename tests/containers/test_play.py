"""What a play in containers takes for whole, on two databases and a WCM that are toys with a state."""

from typing import cast

import pytest

from tests.containers.bureau import Bureau
from tests.containers.play import Markers, Play, of_the_markers, of_the_run


class Toy:
    """A WCM that writes into one of two databases."""

    def __init__(self) -> None:
        self.databases: dict[str, list[str]] = {"db": [], "db-backup": []}
        self.holders = {"wcm": "wcm", "database": "db"}
        self._count = 0

    def publish(self, wcm: str) -> str:
        assert wcm == self.holders["wcm"]
        self._count += 1
        self.databases[self.holders["database"]].append(f"proof-{self._count}")
        return f"proof-{self._count}"

    def holder(self, role: str) -> str:
        return self.holders[role]

    def markers(self, server: str) -> list[str]:
        return list(self.databases[server])

    def restore(self, count: int) -> None:
        """The first markers, as a backup had them, serve from the other server."""
        self.databases["db-backup"] = self.databases["db"][:count]
        self.holders["database"] = "db-backup"


@pytest.fixture
def toy() -> Toy:
    return Toy()


def judged(toy: Toy, restored: int, late: int) -> list[str]:
    """Two markers, a database that fails, a backup of the first ones, and one more."""
    bureau = cast("Bureau", toy)
    markers = Markers(bureau)
    published = [markers.publish(), markers.publish()]
    toy.restore(restored)
    after = markers.publish()
    return of_the_markers(after, published[len(published) - late :], markers.lost(), bureau)


def test_what_came_after_the_backup_is_lost_and_nothing_else(toy: Toy) -> None:
    assert judged(toy, restored=1, late=1) == []


def test_a_way_back_loses_nothing(toy: Toy) -> None:
    assert judged(toy, restored=2, late=0) == []


def test_more_that_is_lost_is_noticed(toy: Toy) -> None:
    (said,) = judged(toy, restored=0, late=1)
    assert said == "of what was published ['proof-1', 'proof-2'] are lost on db-backup, not ['proof-2']"


def test_a_marker_that_a_backup_cannot_have_is_noticed(toy: Toy) -> None:
    assert judged(toy, restored=2, late=1) == ["of what was published [] are lost on db-backup, not ['proof-2']"]


def test_a_wcm_that_writes_to_the_old_database_as_well_is_noticed(toy: Toy) -> None:
    bureau = cast("Bureau", toy)
    after = Markers(bureau).publish()
    toy.restore(1)
    assert of_the_markers(after, [], [], bureau) == [f"{after} is in the database on db"]


def test_what_was_lost_once_is_not_asked_for_again(toy: Toy) -> None:
    markers = Markers(cast("Bureau", toy))
    markers.publish()
    toy.restore(0)
    assert markers.lost() == ["proof-1"]
    assert markers.lost() == []


@pytest.mark.parametrize(
    ("run", "holder", "said"),
    [
        ({"state": "done", "role": "database"}, "db-backup", []),
        ({"state": "stopped", "role": "database"}, "db-backup", ["the run is stopped: a port"]),
        ({"state": "done", "role": "wcm"}, "db-backup", ["run 7 moved wcm"]),
        ({"state": "done", "role": "database"}, "db", ["database is held by db"]),
    ],
)
def test_a_run_that_ends_otherwise_is_noticed(toy: Toy, run: dict[str, str], holder: str, said: list[str]) -> None:
    toy.holders["database"] = holder
    play = Play("db fails", "database", "db-backup", "recover", lambda bureau: None)
    assert of_the_run(play, {"number": 7, "reason": "a port", **run}, cast("Bureau", toy)) == said
