# Two stages: the first builds an environment from the locks, the second holds that environment and nothing that builds.
#   docker build -t rebalanced .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges -v state:/var/lib/rebalanced rebalanced
# BASE is any image with Python 3.11 or newer as python3, venv included; both stages use it, since an environment knows its interpreter's path.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements.lock requirements-dev.lock ./
# The build backend comes from the development lock, so it is checked by hash as well.
RUN python3 -m venv tools && tools/bin/pip install -q --require-hashes -r requirements-dev.lock
RUN python3 -m venv --without-pip /opt/rebalanced \
    && tools/bin/pip --python /opt/rebalanced/bin/python install -q --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY daemon daemon
COPY strategies strategies
RUN tools/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir dist . \
    && tools/bin/pip --python /opt/rebalanced/bin/python install -q --no-deps dist/*.whl

FROM ${BASE}
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
ENTRYPOINT ["rebalanced"]
CMD ["demo"]
