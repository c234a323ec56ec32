"""How much of what was written is lost with a backup: said before, asked for above a bound, and said after."""

from __future__ import annotations

from failover.backups import Backup
from failover.errors import NeedsPerson
from failover.model import RunKind, format_span
from failover.recover.scene import Scene


def word_for(role: str) -> str:
    """The word by which a person accepts the loss."""
    return f"loss:{role}"


def loss_seconds(scene: Scene, backup: Backup) -> float:
    """From the moment that the backup holds to the fault; nothing where the run makes its own backup."""
    if scene.kind in (RunKind.SWITCH, RunKind.ROLLBACK):
        return 0.0
    return max(0.0, ((scene.begun_at or scene.now()) - backup.taken_at).total_seconds())


def tell(scene: Scene, backup: Backup) -> str:
    """``last good backup 02:00 (wcm-db-…), fault 09:14: 7 h 14 min``, in UTC, with the days where they differ."""
    fault = scene.begun_at or scene.now()
    how = "%H:%M" if fault.date() == backup.taken_at.date() else "%Y-%m-%d %H:%M"
    lost = format_span(loss_seconds(scene, backup))
    return f"last good backup {backup.taken_at:{how}} UTC ({backup.id}), fault {fault:{how}} UTC: {lost}"


def accept(scene: Scene, backup: Backup, bound_seconds: float) -> None:
    """Say what is lost; above the bound only a named person may accept it, in a forced run too.

    Raises:
        NeedsPerson: nobody has.
    """
    if scene.kind in (RunKind.SWITCH, RunKind.ROLLBACK):
        return
    role, above = scene.role.name, loss_seconds(scene, backup) > bound_seconds
    waits = (
        f"; that is more than {format_span(bound_seconds)}, so the run waits for `{word_for(role)}`" if above else ""
    )
    scene.note(f"with loss: {tell(scene, backup)}{waits}")
    if scene.dry or not above:
        return
    word = scene.word(word_for(role))
    restored = [made.at for made in scene.made(scene.new, "database") if made.args.get("want") == "restored"]
    if word is not None and (not restored or word.at >= restored[-1]):
        return  # a word that was given for another backup doesn't count
    raise NeedsPerson(
        f"May {format_span(loss_seconds(scene, backup))} of what was written be lost? {tell(scene, backup)}; the plan "
        f"accepts {format_span(bound_seconds)} by itself (max_loss). Look for a newer backup, or for a way to mend "
        f"{scene.old}; if there is none, confirm `{word_for(role)}`",
        word=word_for(role),
    )
