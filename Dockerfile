# Two stages: the first builds an environment from the locks, the second holds that environment and nothing that builds.
#   docker build -t rebalanced .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges -v state:/var/lib/rebalanced rebalanced
# It runs the demo; `run /etc/rebalanced/NAME.yaml` behind it runs a configuration, see docs/container.md and deploy/compose.yaml.
# BASE is any image with Python 3.11 or newer as python3; BUILDER has the same one, and venv. An environment knows its interpreter's path.
ARG BASE=python:3.11-slim
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
WORKDIR /build
COPY requirements*.lock ./
# The build backend has a lock, so it is checked by hash as well.
RUN python3 -m venv tools && tools/bin/pip install -q --require-hashes -r requirements-build.lock
# EXTRA=alerts adds apprise (requirements-alerts.lock), for alerts beside webhooks.
ARG EXTRA=
RUN python3 -m venv --without-pip /opt/rebalanced \
    && for lock in requirements.lock ${EXTRA:+requirements-${EXTRA}.lock}; do \
        tools/bin/pip --python /opt/rebalanced/bin/python install -q --require-hashes -r "$lock" || exit; done
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY daemon daemon
COPY strategies strategies
COPY systemd systemd
RUN tools/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir dist . \
    && tools/bin/pip --python /opt/rebalanced/bin/python install -q --no-deps dist/*.whl
COPY deploy/slim.sh ./
# What is compiled is marked by its source's content, not by its time, so that two builds of one tree hold the same.
RUN sh slim.sh /opt/rebalanced && /opt/rebalanced/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/rebalanced/lib \
    && find /opt/rebalanced -exec touch -h -d @0 {} +

FROM ${BASE}
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="rebalanced" \
      org.opencontainers.image.description="A daemon that trades a portfolio of crypto assets to target weights" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/rebalanced /opt/rebalanced
# The number is the user below, who owns the volume and nothing else.
RUN install -d -m 0700 -o 65532 -g 65532 /var/lib/rebalanced
# Relative paths that are written, the journal among them, start at STATE_DIRECTORY.
ENV PATH=/opt/rebalanced/bin:$PATH \
    HOME=/var/lib/rebalanced \
    STATE_DIRECTORY=/var/lib/rebalanced \
    PYTHONUNBUFFERED=1 \
    PYTHONFAULTHANDLER=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/rebalanced
VOLUME /var/lib/rebalanced
USER 65532:65532
STOPSIGNAL SIGTERM
# Whether the loop turns: an exchange that is away makes nobody unhealthy. Asking costs about a second of a processor.
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s --retries=3 CMD ["rebalanced", "health"]
ENTRYPOINT ["rebalanced"]
CMD ["demo"]
