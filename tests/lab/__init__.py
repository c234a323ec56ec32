"""The lab: real hosts on one machine, what can go wrong with them, and witnesses who can't be fooled.

Each host is a Debian of its own with systemd as PID 1, sshd and its own disk, in namespaces; `router` separates
`client` from the servers. Nothing can leave the lab, and nothing of it outlives the process that made it. Needs root.

    from tests.lab import Lab, Oracle, Visitor

    def test_the_web_server_loses_power(make_lab):            # fixtures: see tests/lab/fixtures.py; mark the test `lab`
        lab = make_lab(["monitor", "client", "web", "web-backup", "wcm"])     # up in about 2 s; `router` comes along
        with Oracle(lab) as oracle, Visitor(lab.client) as visitor:
            visitor.await_host("web", within=5)
            lab.web.power_off()
            visitor.await_host("web-backup", within=60)
        oracle.check()                                        # never two holders, never two that answer
        visitor.check_whole()                                 # never half of a copy
        assert visitor.outage_seconds() < 5

Hosts     lab.web, lab["web-backup"], lab.hosts; any other name makes an extra machine in the servers' segment
Power     power_off() boot() reboot() shut_down() freeze() thaw()   .on
Commands  run(command, timeout=30, check=True, stdin="") -> Done(code, out, err, seconds);  start(command) -> Background
Files     read(path) write(path, text, mode="644") exists(path)
          small_disk(path, size="1m", inodes=None) large_disk(path)
Addresses addresses() add_address("10.77.0.100/24") del_address(..) boot_addresses("10.77.0.100/24", ..) ; .ip .ipv6
Services  kill_service(unit) hang_service(unit) resume_service(unit) fake_clock(unit).set(seconds)
Network   lab.cut(host..) cut_outgoing(host) cut_incoming(host) block(a, b, one_way=False) drop(0.3, a[, b]):
          each returns a Fault: .heal(), or as a `with` block; lab.heal() heals all
Site      lab.publish("build-2", on="wcm");  `site.build_site` makes the files
Fence     on the monitor: `lab-pdu off|on|status HOST`; lab.outlets.orders says what was asked of it
WCM       Lab(.., wcm="postgresql") or "mariadb": a real one, see below
Logs      lab.save_logs(folder), host.journal(), host.console()
Witnesses Oracle: held(address) holders(..) overlap_seconds(..) answering(..) check()
          Visitor: replies good last sees(host) await_host(..) await_until(..) outages() outage_seconds() mixed()
          check_whole()
          Writer (with a WCM): publications accepted await_accepted(..) missing(host) gap_seconds()
          databases.markers_by_database(lab) markers(lab, host) ask(lab, host, sql)
By hand   python -m tests.lab [--wcm ENGINE] [HOST..]

With a WCM: a bureau's site on Wagtail and gunicorn runs on `wcm` (wcm.service, port 8000, /health, /admin/) and waits
on `wcm-backup`; its database `wcm` runs on `db`, and `db-backup` runs an empty server. /etc/wcm/database.env says where
the database is, /etc/wcm/publish.env where the web server is. What editors publish is written to /srv/site and pushed
to the web server; `wcm-marker TEXT` publishes a marker that `databases.PROOF_QUERY` finds, `wcm-publish` the whole
site. The password of the database user `failover` is in /etc/failover-helper/db-password on both database hosts.

At the start: `web` holds 10.77.0.100 and fd77::100; nginx runs on web and web-backup and serves /srv/site with the
header X-Served-By; the site is build-1 on web, wcm and wcm-backup, and an older build-0 on web-backup. PostgreSQL,
MariaDB and keepalived are installed everywhere, and run nowhere without a WCM (`systemctl start`). On the monitor the
operator (root) has an ssh key for every host, `failover` is the work tree's code, and the units of `systemd/` are
installed but not started.
"""

from .clock import FakeClock
from .commands import Background, Done
from .errors import LabError, LabTimeout, LabUnavailable
from .host import Host
from .lab import BUILDS, EVERYONE, Lab
from .needs import missing_requirements
from .net import SERVICE_ADDRESSES, Fault
from .oracle import Answer, Held, Oracle
from .visitor import Outage, Reply, Visitor
from .writer import Publication, Writer

__all__ = [
    "BUILDS", "EVERYONE", "SERVICE_ADDRESSES", "Answer", "Background", "Done", "FakeClock", "Fault", "Held", "Host",
    "Lab", "LabError", "LabTimeout", "LabUnavailable", "Oracle", "Outage", "Publication", "Reply", "Visitor", "Writer",
    "missing_requirements",
]  # fmt: skip
