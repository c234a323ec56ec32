# Those whom the site is for: a visitor who looks at it all the time, and the phone of the one on duty.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/*
COPY docker/people/ /usr/local/lib/people/
USER nobody
ENTRYPOINT ["python3", "-I", "-S", "-u"]
