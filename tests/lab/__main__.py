"""Play with the lab by hand: ``python -m tests.lab [--wcm ENGINE] [HOST..]``. Everything ends with it."""

import argparse
import cmd
import shlex
import subprocess
import sys
import time
from collections.abc import Callable

from .databases import markers_by_database
from .errors import LabError
from .lab import EVERYONE, Lab
from .needs import missing_requirements
from .oracle import Oracle
from .visitor import Visitor
from .wcm import ENGINES

INTRO = """
The lab is up. The site's visitors use http://10.77.0.100/, now held by `web`.

  on HOST COMMAND..     run a command on a host                  sh [HOST]          a shell there (monitor)
  off HOST  boot HOST  reboot HOST                               freeze HOST  thaw HOST
  cut HOST..  mute HOST  deafen HOST                             block A B  oneway A B  lose PERCENT HOST [OTHER]
  faults  heal          what is wrong with the network; mend it  hang HOST UNIT  resume HOST UNIT
  publish BUILD [HOST]  new content on the WCM (or a host)       hosts              who is on, with which addresses
  mark TEXT [HOST]      publish a marker through the WCM         markers            which are in which database
  visit                 what visitors and the oracle have seen   quit               end it all
"""


class Prompt(cmd.Cmd):
    """One command a line; errors are sentences, and end nothing."""

    prompt = "lab> "
    intro = INTRO

    def __init__(self, lab: Lab, oracle: Oracle, visitor: Visitor | None) -> None:
        super().__init__()
        self.lab, self.oracle, self.visitor = lab, oracle, visitor

    def onecmd(self, line: str) -> bool:
        """Run one line."""
        try:
            return bool(super().onecmd(line))
        except (LabError, ValueError, TypeError, subprocess.SubprocessError) as error:
            print(error)
            return False

    def emptyline(self) -> bool:
        """Do nothing twice by accident."""
        return False

    def do_on(self, line: str) -> None:
        """on HOST COMMAND.."""
        name, _, command = line.partition(" ")
        done = self.lab[name].run(command, check=False, timeout=120)
        print(done.out + done.err, end="")

    def do_sh(self, line: str) -> None:
        """sh [HOST]: a login shell with a terminal of the host's own."""
        host = self.lab[line.strip() or "monitor"]
        subprocess.run(host.argv(["script", "-qc", "bash -l", "/dev/null"]), check=False)

    def do_hosts(self, _: str) -> None:
        """hosts"""
        for name, host in self.lab.hosts.items():
            print(f"  {name:12} {'on   ' + ' '.join(sorted(host.addresses())) if host.on else 'off'}")

    def do_faults(self, _: str) -> None:
        """faults"""
        print("\n".join(f"  {fault}" for fault in self.lab.switch.faults) or "  none")

    def do_heal(self, _: str) -> None:
        """heal"""
        self.lab.heal()

    def do_publish(self, line: str) -> None:
        """publish BUILD [HOST]"""
        build, *where = line.split()
        self.lab.publish(build, on=where[0] if where else "wcm")

    def do_mark(self, line: str) -> None:
        """mark TEXT [HOST]"""
        text, *where = line.split()
        print(self.lab[where[0] if where else "wcm"].run(["wcm-marker", text]).out, end="")

    def do_markers(self, _: str) -> None:
        """markers"""
        for (host, database), found in markers_by_database(self.lab, source="proof").items():
            print(f"  {host}/{database}: {', '.join(found) or 'none'}")

    def do_lose(self, line: str) -> None:
        """lose PERCENT HOST [OTHER]"""
        percent, *hosts = line.split()
        print(self.lab.drop(float(percent) / 100, *hosts))

    def do_visit(self, _: str) -> None:
        """visit"""
        if self.visitor:
            print(f"  visitor: {self.visitor.summary()}")
            for outage in self.visitor.outages(longer_than=0.25):
                start = time.strftime("%H:%M:%S", time.localtime(outage.start))
                print(f"    {start} no good answer for {outage.seconds:.3f} s, {outage.failed} requests failed")
        for span in self.oracle.held("10.77.0.100"):
            start = time.strftime("%H:%M:%S", time.localtime(span.start))
            still = "" if span.end else ", and still"
            print(f"  {start} {span.host} held {span.address} for {span.seconds:.3f} s{still}")
        print(f"  two holders at once for {self.oracle.overlap_seconds('10.77.0.100') * 1000:.0f} ms")

    def do_quit(self, _: str) -> bool:
        """quit"""
        return True

    do_EOF = do_quit  # noqa: N815 - the name that cmd.Cmd looks for

    def default(self, line: str) -> None:
        """Verbs that take names of hosts (and units) only."""
        verb, *words = shlex.split(line)
        lab = self.lab
        verbs: dict[str, Callable[..., object]] = {
            "off": lambda name: lab[name].power_off(),
            "boot": lambda name: lab[name].boot(),
            "reboot": lambda name: lab[name].reboot(),
            "freeze": lambda name: lab[name].freeze(),
            "thaw": lambda name: lab[name].thaw(),
            "hang": lambda name, unit: lab[name].hang_service(unit),
            "resume": lambda name, unit: lab[name].resume_service(unit),
            "cut": lab.cut,
            "mute": lab.cut_outgoing,
            "deafen": lab.cut_incoming,
            "block": lab.block,
            "oneway": lambda one, other: lab.block(one, other, one_way=True),
        }
        if verb not in verbs:
            print(f"{verb!r} is no command of the lab; `help` lists them all" + INTRO)
        elif (said := verbs[verb](*words)) is not None:
            print(f"  {said}")


def main() -> int:
    """Bring a lab up, and hand it over."""
    if missing := missing_requirements():
        print("the lab can't run here:", *missing, sep="\n  ", file=sys.stderr)
        return 69  # EX_UNAVAILABLE
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description="A lab of real hosts to play in.")
    parser.add_argument("hosts", nargs="*", default=list(EVERYONE), metavar="HOST", help="all, if none is named")
    parser.add_argument("--wcm", choices=[*ENGINES, "none"], default=ENGINES[0], help="the database of a real WCM")
    given = parser.parse_args()
    engine = None if given.wcm == "none" else given.wcm
    print(f"booting {', '.join(given.hosts)} (the first time, their disks are built: two minutes or so)", flush=True)
    began = time.monotonic()
    with Lab(given.hosts, wcm=engine) as lab, Oracle(lab) as oracle:
        print(f"up after {time.monotonic() - began:.1f} s")
        prompt = Prompt(lab, oracle, None)
        try:
            if "client" in lab.hosts:
                with Visitor(lab.client, every=0.05) as prompt.visitor:
                    prompt.cmdloop()
            else:
                prompt.cmdloop()
        except KeyboardInterrupt:
            print()
    print("the lab is gone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
