# failover's daemon, and the commands of an operator.
FROM debian:bookworm-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements.lock ./
# Every wheel by its locked hash; what the program needs of them is then chosen without asking anybody.
RUN python3 -m venv /tools \
 && /tools/bin/pip --disable-pip-version-check wheel --no-cache-dir --quiet --no-deps --require-hashes \
      --only-binary=:all: --wheel-dir /wheels -r requirements.lock
COPY LICENSE README.md pyproject.toml ./
COPY failover failover
RUN /tools/bin/pip --disable-pip-version-check install --quiet --no-index --find-links /wheels editables hatchling \
 && /tools/bin/pip --disable-pip-version-check wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python3 -m venv /opt/failover \
 && /opt/failover/bin/pip --disable-pip-version-check install --quiet --no-index --find-links /wheels failover

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates curl openssh-client openssl python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --user-group --home-dir /var/lib/failover --shell /usr/sbin/nologin failover \
 && install -d -o root -g failover -m 750 /etc/failover /etc/failover/keys /etc/failover/secrets \
 && install -d -o failover -g failover -m 700 /var/lib/failover
COPY --from=build /opt/failover /opt/failover
COPY docker/monitor/ /usr/local/bin/
ENV PATH=/opt/failover/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin MALLOC_ARENA_MAX=2
WORKDIR /var/lib/failover
ENTRYPOINT ["monitor-start"]
CMD ["daemon"]
