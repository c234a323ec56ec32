"""What ``failover init`` has to know: each answer's option, question and default, and how it is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import click

Check = Callable[[str], str]
ZH, EN = "zh", "en"


def _any(value: str) -> str:
    return value


def _name(value: str) -> str:
    if not (plain := " ".join(value.split())) or len(plain) > 100 or not plain.isprintable():
        raise ValueError("the name has 1 to 100 characters, all of them printable")
    return plain


def _choice(*words: str) -> Check:
    def check(value: str) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is not possible here; it is {', '.join(words)}")
        return value

    return check


def _timezone(value: str) -> str:
    from zoneinfo import available_timezones

    if value not in available_timezones():
        raise ValueError(f"{value!r} is no time zone; write it as Asia/Shanghai or UTC")
    return value


def _ssh(value: str) -> str:
    from pydantic import ValidationError

    from failover.servers.ssh import SshSettings

    try:
        SshSettings.model_validate(value)
    except ValidationError:
        raise ValueError(
            f"{value!r} is no place for ssh; write 10.77.0.11, 10.77.0.11:2222 or [fd77::11]:2222"
        ) from None
    return value


def _address(value: str) -> str:
    import ipaddress

    host, slash, _prefix = value.partition("/")
    try:
        if slash and ipaddress.ip_interface(value).network.num_addresses > 1:
            return f"{ipaddress.ip_address(host)}/{ipaddress.ip_interface(value).network.prefixlen}"
    except ValueError:
        pass
    raise ValueError(
        f"{value!r} is not an address with its network's prefix; write it as 10.77.0.100/24 or fd77::100/64"
    )


def _ip(value: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an IP address; write it as 10.77.0.1 or fd77::1") from None


def _path(value: str) -> str:
    if not value.startswith("/") or {"", ".", ".."} & set(value[1:].split("/")):
        raise ValueError(f"{value!r} is not an absolute path without '.', '..' and a slash at its end")
    return value


def _mail(value: str) -> str:
    from email.utils import parseaddr

    if "@" not in parseaddr(value)[1] or not value.isprintable():
        raise ValueError(f"{value!r} is not a mail address; write it as duty@example.cn")
    return value


def _or_empty(check: Check) -> Check:
    return lambda value: check(value) if value else ""


def _by_mail(known: Mapping[str, str]) -> bool:
    return bool(known["mail_to"])


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing to know; ``name`` is its field of :class:`failover.config.first.First`."""

    name: str
    metavar: str
    says: str
    """What ``--help`` shows, and how it's asked for in English."""
    default: str | None = None
    """None: somebody has to say it."""
    check: Check = _any
    asked: Callable[[Mapping[str, str]], bool] = lambda _known: True
    """Whether it is asked for, by what is known already."""

    @property
    def option(self) -> str:
        """``--web-backup``."""
        return "--" + self.name.replace("_", "-")

    def question(self, language: str) -> str:
        """How it is asked for."""
        return QUESTIONS_ZH[self.name] if language == ZH else self.says


ANSWERS = (
    Answer("language", "zh|en", "Language of comments and messages: zh or en", EN, _choice(ZH, EN)),
    Answer("name", "NAME", "The site's name, as people know it", None, _name),
    Answer("timezone", "ZONE", "Time zone that people read times in", "Asia/Shanghai", _timezone),
    Answer("web", "HOST", "Web server, on an address of its own that never moves", None, _ssh),
    Answer("web_backup", "HOST", "Its backup", None, _ssh),
    Answer("address", "IP/PREFIX", "Address that visitors use, as 10.77.0.100/24", None, _address),
    Answer("interface", "NAME", "Network interface that it's on", "eth0"),
    Answer("gateway", "IP", "Gateway there: it shows that the monitor isn't cut off", None, _ip),
    Answer("wcm", "HOST", "WCM server, where the content comes from; empty: none", "", _or_empty(_ssh)),
    Answer("wcm_backup", "HOST", "Its backup; empty: none", "", _or_empty(_ssh), lambda known: bool(known["wcm"])),
    Answer("content", "PATH", "Folder of the site's content on the servers", "/srv/site", _path),
    Answer("unit", "UNIT", "systemd unit of the web server", "nginx"),
    Answer("text", "TEXT", "Text that the first page must contain; empty: any page will do", ""),
    Answer(
        "mode",
        "MODE",
        "How far the plan goes by itself: off, propose or auto",
        "propose",
        _choice("off", "propose", "auto"),
    ),
    Answer("monitor", "IP", "Address that this monitor comes from; empty: enrolling finds it", "", _or_empty(_ip)),
    Answer("mail_to", "ADDRESS", "Who is told by mail; empty: a chat robot is told", "", _or_empty(_mail)),
    Answer("mail_server", "HOST", "Mail server", "localhost", asked=_by_mail),
    Answer("mail_from", "ADDRESS", "Sender of the mails; empty: failover@ its domain", "", _or_empty(_mail), _by_mail),
    Answer(
        "webhook_file",
        "FILE",
        "File with the robot's URL",
        "secrets/robot-url",
        asked=lambda known: not _by_mail(known),
    ),
)

QUESTIONS_ZH = {
    "language": "语言（zh 或 en）",
    "name": "网站名称",
    "timezone": "时区",
    "web": "网站服务器的管理地址（固定不动）",
    "web_backup": "备份网站服务器的管理地址",
    "address": "访问者使用的地址（如 10.77.0.100/24）",
    "interface": "该地址所在的网络接口",
    "gateway": "网关（用来判断监控机自己是否断网）",
    "wcm": "WCM 服务器的管理地址（没有则留空）",
    "wcm_backup": "备份 WCM 服务器的管理地址（没有则留空）",
    "content": "网站内容所在目录",
    "unit": "网站服务器的 systemd 单元",
    "text": "首页必须包含的文字（不限则留空）",
    "mode": "预案自动执行到什么程度（off、propose 或 auto）",
    "monitor": "监控机的地址（留空则登记服务器时自动识别）",
    "mail_to": "通知邮件发给谁（用聊天机器人则留空）",
    "mail_server": "邮件服务器",
    "mail_from": "邮件发件人（留空则为 failover@ 同一域名）",
    "webhook_file": "存放机器人 URL 的文件",
}


def check_value(answer: Answer, value: str) -> str:
    """The value as the config takes it.

    Raises:
        click.BadParameter: it can't be; the sentence says what can.
    """
    try:
        return answer.check(value.strip())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def ask(given: Mapping[str, str | None], *, interactive: bool) -> dict[str, str]:
    """Every answer: as given, else asked for at the terminal, else the default.

    Raises:
        click.UsageError: there is nobody to ask, and no default.
    """
    missing = [answer.option for answer in ANSWERS if answer.default is None and given.get(answer.name) is None]
    if missing and not interactive:
        raise click.UsageError(f"there is no terminal to ask at, so say {', '.join(missing)}")
    known: dict[str, str] = {}
    for answer in ANSWERS:
        value = given.get(answer.name)
        if value is None and interactive and answer.asked(known):
            value = click.prompt(
                answer.question(known.get("language", EN)), default=answer.default, err=True,
                value_proc=lambda text, answer=answer: check_value(answer, text),
            )  # fmt: skip
        known[answer.name] = value if value is not None else answer.default or ""
    return known
