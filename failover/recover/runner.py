"""The runs of one site: one at a time, each in a thread of its own, resumed after a crash, never done twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from failover.errors import Busy, NotAllowed, NotFound
from failover.journal import Journal
from failover.journal.move_view import Move
from failover.journal.queries import RunView
from failover.journal.run_view import DAEMON
from failover.model import Cause, RunKind, RunState, Token
from failover.recover import words
from failover.recover.control import Clock, Control
from failover.recover.doubts import Doubts
from failover.recover.dry import DryRun, dry_run
from failover.recover.engine import Engine, Setting
from failover.recover.live import Live
from failover.recover.past import Past
from failover.recover.plan import Plan
from failover.recover.run import RunJournal
from failover.recover.scene import RoleNow, Scene
from failover.recover.under_way import UnderWay
from failover.recover.undo import End

SceneFor = Callable[[str, RunKind], Scene]
"""The world for a run of that role and kind; who is ``old`` and ``new`` in it is set here."""
Spawn = Callable[[Callable[[], None], str], None]


def in_a_thread(work: Callable[[], None], name: str) -> None:
    """Run it in a thread of its own."""
    threading.Thread(target=work, name=name, daemon=True).start()


class Runner:
    """Starts runs, carries them out, and lets people reach into them. Every method may be called from any thread."""

    def __init__(
        self,
        site: str,
        journal: Journal,
        scene_for: SceneFor,
        plans: Callable[[], Mapping[str, Plan]],
        *,
        clock: Clock | None = None,
        spawn: Spawn = in_a_thread,
    ) -> None:
        self._site = site
        self._journal = journal
        self._scene_for = scene_for
        self._plans = plans
        self._clock = clock or Clock()
        self._spawn = spawn
        self._past = Past(journal, site, self._clock.now)
        self._doubts = Doubts(self._clock.monotonic)
        self.under_way = UnderWay()
        for request in self._past.requests_in_doubt():
            self._doubts.add(request.server, request.verb, request.args, request.token, request.within_seconds)

    # begin -----------------------------------------------------------------------------------------------------

    def start(
        self, plan_name: str, kind: RunKind, cause: Cause, *, force: bool = False, plan: Plan | None = None,
        words: Sequence[str] = (),
    ) -> RunView:  # fmt: skip
        """Begin a run and return at once; ``plan`` for one that isn't in the config (:mod:`failover.recover.builtin`).

        ``words`` are given before it begins, by whoever asks for it; those that the plan has no use for say nothing.

        Raises:
            Busy: another run is under way; it has its number. A run AHEAD gives way instead.
            NotFound: no such plan. NotAllowed: the world isn't settled enough for a run that keeps it, or there is no
            move to roll back.
            JournalUnwritable: nothing was begun.
        """
        plan = plan or self._plan(plan_name)
        role = plan.role or plan_name
        with self.under_way.settled:
            self.under_way.make_way(kind)
            if kind is RunKind.KEEP and (unsettled := self._past.unsettled(role)):
                raise NotAllowed(
                    f"run {unsettled.number} left open who answers for {role}: nothing is kept up until it is resumed "
                    f"or aborted ({unsettled.reason})"
                )
            force = force or kind is RunKind.ROLLBACK  # a person takes it on: no failure is looked for
            scene = self._scene(role, kind, forced=force)
            if kind is RunKind.ROLLBACK:
                self._past.open_move(role, (scene.old, scene.new))
            number = self._journal.next_run()
            token = Token(self._journal.epoch, number)
            opened = {
                "plan": plan_name, "kind": str(kind), "role": role, "old": scene.old, "new": scene.new,
                "mode": str(plan.mode), "why": cause.why, "token": list(token), "plan_text": plan.text,
                "plan_sha256": plan.sha256, "steps": [step.title(scene) for step in plan.steps], "forced": force,
            }  # fmt: skip
            record = RunJournal.open(self._journal, self._site, number, cause.by, opened)
            useful = {word for step in plan.steps for word in step.words(scene)}
            for word in (word for word in words if word in useful):
                record.word(word, cause.by, cause.why)
            live = self._enter(plan, scene, record, token)
        self.under_way.tell(record.view)
        self._spawn(lambda: self.under_way.carry(live, live.engine.run), f"run-{number}")
        return record.view

    def commit(self, role: str, cause: Cause) -> Move:
        """A person says that a role stays where it was moved to: it isn't rolled back any more.

        Raises:
            NotAllowed: there is no move that could be rolled back. Busy: it is being rolled back, or moved on.
        """
        with self.under_way.settled:
            self.under_way.refuse_if_moving(role)
            move = self._past.open_move(role)
            data = {"role": role, "run": move.run, "why": cause.why}
            self._journal.append("move.committed", site=self._site, by=cause.by, data=data)
        return move

    def keep(self, plan_name: str, plan: Plan, kind: RunKind, cause: Cause) -> RunView | None:
        """Begin a run of a builtin plan only if there is something to do or to say; None when there isn't.

        Asks in the caller's thread; raises as :meth:`start`.
        """
        role = plan.role or plan_name
        found = dry_run(plan_name, plan, self._scene(role, kind))
        if not found.changes:
            return None
        return self.start(plan_name, kind, cause, plan=plan)

    def dry(self, plan_name: str, kind: RunKind, *, plan: Plan | None = None) -> DryRun:
        """All that a run would change now, and what would stop it; works when servers don't answer, and says so."""
        plan = plan or self._plan(plan_name)
        scene = self._scene(plan.role or plan_name, kind)
        if kind is RunKind.ROLLBACK:
            self._past.open_move(scene.role.name, (scene.old, scene.new))
        return dry_run(plan_name, plan, scene)

    def _plan(self, name: str) -> Plan:
        plans = self._plans()
        if name not in plans:
            raise NotFound(f"there is no plan {name!r}; there is {', '.join(sorted(plans)) or 'none'}")
        return plans[name]

    def _scene(self, role: str, kind: RunKind, *, forced: bool = False) -> Scene:
        scene = self._scene_for(role, kind)
        now = scene.role
        old, new = (now.standby, now.holder) if kind is RunKind.KEEP else (now.holder, now.standby)
        left_at = self._past.moves().left.get((role, new)) if kind.moves else None
        return replace(scene, kind=kind, old=old, new=new, forced=forced, left_at=left_at)

    def _enter(self, plan: Plan, scene: Scene, record: RunJournal, token: Token) -> Live:
        control = Control(self._clock)
        setting = Setting(control, self._clock, self._doubts, self._new_token, self.under_way.tell)
        live = Live(record, control, Engine(plan, scene, record, token, setting), self._clock)
        self.under_way.enter(live)
        return live

    def _new_token(self) -> Token:
        return Token(self._journal.epoch, self._journal.next_run())

    # resume ----------------------------------------------------------------------------------------------------

    def resume(self, run: int, cause: Cause) -> RunView:
        """Go on with a run that stopped, from its first step that isn't done, with the plan that was stored with it.

        Raises:
            NotFound, Busy. NotAllowed: it ended well, or a newer run has moved the role since.
        """
        return self._take_up(run, cause, lambda live: live.engine.run())

    def abort(self, run: int, cause: Cause) -> RunView:
        """End a run before its next change, and take back what can be taken back safely; also one that stopped."""
        with self.under_way.settled:
            if live := self.under_way.get(run):
                live.record.noted(f"abort asked for by {cause.by}: {cause.why}")
                live.control.abort(f"aborted by {cause.by}: {cause.why}")
                return live.record.view
        return self._take_up(run, cause, lambda live: live.engine.take_back(f"aborted by {cause.by}: {cause.why}"))

    def _take_up(self, run: int, cause: Cause, work: Callable[[Live], End]) -> RunView:
        with self.under_way.settled:
            if self.under_way.get(run):
                raise Busy(f"run {run} is under way", run=run)
            record = self._load(run, cause)
            view = record.view
            if view.state in (RunState.DONE, RunState.UNDONE, RunState.ABORTED):
                raise NotAllowed(f"run {run} is {view.state}: nothing is left of it to go on with")
            if newer := self._past.moved_since(view):
                raise NotAllowed(f"run {newer} has moved {view.role} since: run {run} is history")
            self.under_way.make_way(view.kind)
            live = self._reopen(record, cause)
        self.under_way.tell(record.view)
        self._spawn(lambda: self.under_way.carry(live, lambda: work(live)), f"run-{run}")
        return live.record.view

    def _load(self, run: int, cause: Cause) -> RunJournal:
        record = RunJournal.load(self._journal, run, cause.by)
        if record.view.site != self._site:
            raise NotFound(f"run {run} is of the site {record.view.site!r}")
        return record

    def _reopen(self, record: RunJournal, cause: Cause) -> Live:
        view = record.view
        plan = Plan.from_text(view.plan_text)
        token = self._new_token()
        record.resumed(cause.why, cause.by, token)
        current = self._plans().get(view.plan)
        if current is not None and current.sha256 != view.plan_sha256:
            record.noted("the plan was edited since this run was opened; it goes on as it was opened")
        scene = self._scene_for(str(view.role), view.kind)
        old, new = str(view.old), str(view.new)
        holder, standby = (new, old) if view.kind is RunKind.KEEP else (old, new)
        role: RoleNow = replace(scene.role, holder=holder, standby=standby)
        left_at = self._past.moves().left.get((role.name, new))
        scene = replace(scene, kind=view.kind, role=role, old=old, new=new, forced=view.forced, left_at=left_at)
        return self._enter(plan, scene, record, token)

    def recover_unfinished(self) -> list[int]:
        """At the start of a daemon: every run that the journal holds as not ended is taken up; their numbers.

        The world is believed first, then the journal. A run AHEAD is ended instead: the next one begins anew.
        """
        unfinished = self._past.unfinished()
        cause = Cause(DAEMON, "failover was started again")
        taken: list[Live] = []
        for view in unfinished:
            record = RunJournal.load(self._journal, view.number, DAEMON)
            if view.kind is RunKind.AHEAD:
                record.ended(RunState.ABORTED, "failover was started again", 0.0, settled=True)
                continue
            with self.under_way.settled:
                taken.append(self._reopen(record, cause))
            self.under_way.tell(record.view)
        if taken:
            self._spawn(lambda: self._carry_all(taken), "runs-unfinished")
        return [live.record.number for live in taken]

    def _carry_all(self, taken: list[Live]) -> None:
        for live in taken:
            self.under_way.carry(live, live.engine.run)

    # people ----------------------------------------------------------------------------------------------------

    def word(self, run: int, word: str, cause: Cause) -> RunView:
        """A named person says something that the run may count on, for example ``off:web``.

        Raises:
            NotFound. NotAllowed: no person says it, or it's no word of this run; lists its words.
        """
        return self._said(run, cause, lambda plan, scene: words.known(plan, scene, word))

    def mark_done(self, run: int, step: int, cause: Cause) -> RunView:
        """A named person says that a step was done by hand. It counts as far as that may (I2); raises as word."""
        return self._said(run, cause, lambda plan, scene: words.by_hand(plan, scene, step))

    def _said(self, run: int, cause: Cause, choose: Callable[[Plan, Scene], Sequence[str]]) -> RunView:
        with self.under_way.settled:
            live = self.under_way.get(run)
            record = live.record if live else self._load(run, cause)
            words.say(record, self._scene_for(str(record.view.role), record.view.kind), cause, choose)
            if live:
                live.control.poke()
            return record.view
