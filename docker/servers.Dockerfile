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
 && rm -rf /var/lib/apt/lists/*
COPY tests/lab/roles/web/ /
COPY docker/web/ /

# The WCM is the one of the lab in tests/: a Wagtail site that publishes static pages.
FROM server AS wcm
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY tests/lab/wcm_site/requirements.lock /opt/wcm/
RUN python3 -m venv /opt/wcm \
 && /opt/wcm/bin/pip --disable-pip-version-check install --no-cache-dir --quiet --no-deps --require-hashes \
      --only-binary=:all: -r /opt/wcm/requirements.lock
COPY tests/lab/wcm_site/ /opt/wcm/site/
COPY tests/lab/roles/wcm/ /
COPY docker/wcm/ /
RUN systemd-sysusers && install -d -o wcm -g wcm /srv/site /srv/wcm /srv/wcm/media \
 && systemctl enable wcm-first-start.service

FROM server AS db
RUN apt-get update \
 && apt-get install -y --no-install-recommends postgresql \
 && rm -rf /var/lib/apt/lists/* \
 && pg_dropcluster 15 main \
 && pg_createcluster --locale C.UTF-8 15 main -- --data-checksums --auth-local=peer
COPY tests/lab/engines/postgresql/pg_hba.conf /etc/postgresql/15/main/
COPY tests/lab/engines/postgresql/lab.conf /etc/postgresql/15/main/conf.d/
COPY docker/db/ /
RUN systemctl enable database-first-start.service
