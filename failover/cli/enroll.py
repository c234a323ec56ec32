"""``failover enroll``: put servers under failover's care with the operator's own access, which is kept nowhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from failover.cli.client import output_option, show_json
from failover.cli.main import FAILED, OK
from failover.errors import FailoverError

if TYPE_CHECKING:
    from failover.config.config import Config
    from failover.config.model import SiteConfig
    from failover.servers.access import OpenSshAccess
    from failover.servers.enroll import Drift
    from failover.servers.enroll_plan import EnrollPlan
    from failover.servers.pins import HostKey


@dataclass(frozen=True)
class _Operator:
    """What the operator said on the command line."""

    config: Config
    site: SiteConfig
    target: str
    sudo: bool
    password: Callable[[], str] | None
    options: tuple[str, ...]
    host_keys: tuple[str, ...]
    comes_from: tuple[str, ...]

    def plan(self, server: str) -> tuple[EnrollPlan, HostKey]:
        """What is wanted of a server, and the host key that it shows now."""
        from failover.config.enrollment import plan_for
        from failover.servers.host_key import look_at_host_key
        from failover.servers.pins import read_pins

        plan = plan_for(self.config, self.site, server, self.comes_from)
        pins = read_pins(plan.known_hosts, plan.ssh.host, plan.ssh.port)
        shown, ours = look_at_host_key(plan.ssh.host, plan.ssh.port, known=pins)
        return (plan if plan.monitor_addresses else replace(plan, monitor_addresses=(ours,))), shown

    def access(self, plan: EnrollPlan, shown: HostKey) -> OpenSshAccess:
        """The operator's way in, to the server that shows this key."""
        from failover.servers.access import OpenSshAccess

        target = self.target if "@" in self.target else f"{self.target}@{plan.ssh.host}"
        return OpenSshAccess(target, plan.ssh.port, [shown], self.sudo, self.password, self.options)

    def agrees(self, shown: HostKey) -> Callable[[str], bool]:
        """Whether a host key is the right one: by what was said beforehand, else by asking."""
        if self.host_keys:
            return lambda _question: shown.fingerprint in self.host_keys
        return lambda question: click.confirm(question, err=True)


@click.command()
@click.argument("servers", nargs=-1, metavar="[SERVER]...")
@click.option("--all", "everything", is_flag=True, help="Every server of the site.")
@click.option(
    "--as", "target", default="root", show_default=True, metavar="USER[@HOST]",
    help="Your own account there; ssh uses your config, keys and agent.",
)  # fmt: skip
@click.option("--sudo", is_flag=True, help="Become root there by sudo.")
@click.option("--ask-sudo-password", is_flag=True, help="Ask for the password that sudo wants.")
@click.option("--ssh-option", "options", multiple=True, metavar="OPTION", help="For your ssh, as ProxyJump=gate.")
@click.option(
    "--host-key", "host_keys", multiple=True, metavar="SHA256:...",
    help="The fingerprint that the server must show; then nobody is asked.",
)  # fmt: skip
@click.option("--from", "comes_from", multiple=True, metavar="ADDRESS", help="Where this monitor comes from.")
@click.option(
    "--check", "mode", flag_value="check", help="Change nothing; name every drift. Exit code 1 when there is one."
)
@click.option("--remove", "mode", flag_value="remove", help="Take away all that enrolling put there.")
@click.option("--yes", is_flag=True, help="Don't ask before removing.")
@click.option(
    "--config", "config_path", envvar="FAILOVER_CONFIG", default="/etc/failover/failover.yaml", show_default=True,
    type=click.Path(path_type=Path), help="The config.",
)  # fmt: skip
@output_option
@click.pass_context
def enroll(
    ctx: click.Context, servers: tuple[str, ...], everything: bool, target: str, sudo: bool, ask_sudo_password: bool,
    options: tuple[str, ...], host_keys: tuple[str, ...], comes_from: tuple[str, ...], mode: str | None, yes: bool,
    config_path: Path, output: str,
) -> int:  # fmt: skip
    """Put SERVERs under failover's care: the helper, its policy, one key that opens it and nothing else.

    It is done over your own ssh access, is safe to do again, and ends by trying the monitor's own key.
    """
    from failover.config.load import load

    config = load(config_path)
    try:
        site = config.site(ctx.obj["site"])
    except LookupError as error:
        raise click.UsageError(str(error)) from None
    names = tuple(site.servers) if everything else servers
    if not names:
        raise click.UsageError(f"name the servers, or say --all; {site.name} has {', '.join(site.servers)}")
    asked: list[str] = []

    def password() -> str:
        if not asked:
            asked.append(str(click.prompt("Password for sudo", hide_input=True, err=True)))
        return asked[0]

    operator = _Operator(
        config, site, target, sudo or ask_sudo_password, password if ask_sudo_password else None,
        tuple(word for option in options for word in ("-o", option)), host_keys, comes_from,
    )  # fmt: skip
    if mode == "remove" and not yes:
        click.confirm(f"Take failover off {', '.join(names)}? No plan can use them then.", abort=True, err=True)
    work = {"check": _check, "remove": _remove}.get(mode or "", _enroll)
    return _report(work(operator, names), output)


def _enroll(operator: _Operator, names: tuple[str, ...]) -> dict[str, list[str]]:
    """Twice where it must be: a source needs the content key of who pulls, and that one the host key of the source."""
    found: dict[str, list[str]] = {}
    left = names
    for _ in range(2):
        waiting = []
        for name in left:
            try:
                found[name], waits = _enroll_one(operator, name)
            except FailoverError as error:
                found[name], waits = [str(error)], False
            waiting += [name] if waits else []
        left = tuple(waiting)
    return found


def _enroll_one(operator: _Operator, name: str) -> tuple[list[str], bool]:
    from failover.servers.enroll import enroll as put_there
    from failover.servers.enroll import pin, verify
    from failover.servers.ssh import SshServer

    plan, shown = operator.plan(name)
    say = _sayer(name)
    pin(plan, shown, operator.agrees(shown), say)
    result = put_there(plan, operator.access(plan, shown), say)
    server = SshServer(name, plan.ssh, known_hosts=plan.known_hosts, key=plan.key)
    try:
        drift: list[Drift] = [*result.drift, *verify(server)]
    finally:
        server.close()
    waits = bool(plan.awaited_readers or plan.awaited_sources)
    return [str(one) for one in drift], waits


def _check(operator: _Operator, names: tuple[str, ...]) -> dict[str, list[str]]:
    from failover.servers.enroll import check

    found: dict[str, list[str]] = {}
    for name in names:
        try:
            plan, shown = operator.plan(name)
            found[name] = [str(one) for one in check(plan, shown, operator.access(plan, shown))]
        except FailoverError as error:
            found[name] = [str(error)]
    return found


def _remove(operator: _Operator, names: tuple[str, ...]) -> dict[str, list[str]]:
    from failover.servers.enroll import pin, remove

    found: dict[str, list[str]] = {}
    for name in names:
        try:
            plan, shown = operator.plan(name)
            pin(plan, shown, operator.agrees(shown), _sayer(name))
            remove(plan, operator.access(plan, shown), _sayer(name))
            found[name] = []
        except FailoverError as error:
            found[name] = [str(error)]
    return found


def _report(found: dict[str, list[str]], output: str) -> int:
    if output == "json":
        show_json({name: {"ok": not drift, "drift": drift} for name, drift in found.items()})
    else:
        for name, drift in found.items():
            click.echo("\n".join(f"{name}: {line}" for line in drift) if drift else f"{name}: as it should be")
    return FAILED if any(found.values()) else OK


def _sayer(name: str) -> Callable[[str], None]:
    return lambda text: click.echo(f"{name}: {text}", err=True)
