# The servers: a Debian with systemd and sshd, and on it what each kind of server does.
FROM debian:bookworm-slim AS server
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates curl dbus iproute2 iputils-arping iputils-ping nftables openssh-client openssh-server procps \
      python3 rsync sudo systemd systemd-sysv \
 && rm -rf /var/lib/apt/lists/* \
 # Each container makes its own.
 && rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id \
 && : > /etc/machine-id \
 # A container has no terminals, and the kernel's settings are its machine's.
 && systemctl mask apt-daily.timer apt-daily-upgrade.timer console-getty.service dev-hugepages.mount \
      dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer getty.target sys-fs-fuse-connections.mount \
      systemd-logind.service systemd-modules-load.service systemd-sysctl.service systemd-udevd.service
COPY docker/server/ /
RUN systemctl enable first-start.service
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/sbin/server-init"]

FROM server AS web
RUN apt-get update \
 && apt-get install -y --no-install-recommends nginx-light \
 && rm -rf /var/lib/apt/lists/* /etc/nginx/sites-enabled/default
COPY docker/web/ /

FROM server AS wcm
COPY docker/web/srv/ /srv/

FROM server AS db
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql \
 && rm -rf /var/lib/apt/lists/*
