# syntax=docker/dockerfile:1
# One image for every process: engine, worker and the one-shot commands. `docker build -t headrace:local .`
# Workers run your code: build an image FROM this one with what that code imports, or mount it at /app.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/headrace && python -m venv /opt/build
COPY requirements.txt ./
RUN /opt/headrace/bin/pip install --quiet --require-hashes --no-deps --only-binary :all: -r requirements.txt
COPY deploy/requirements-build.txt deploy/
RUN /opt/build/bin/pip install --quiet --require-hashes --no-deps -r deploy/requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY engine engine/
COPY dsl dsl/
COPY runners runners/
COPY api api/
RUN /opt/build/bin/python -m hatchling build -t wheel -d /wheels \
 && /opt/headrace/bin/pip install --quiet --no-deps --no-index /wheels/*.whl \
 && /opt/headrace/bin/pip check

FROM python:${PYTHON}-slim
# tini reaps what tasks leave behind and hands signals on.
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --home-dir /var/lib/headrace --create-home --shell /usr/sbin/nologin headrace \
 && install -d -o headrace -g headrace /app /var/lib/headrace/artifacts
COPY --from=build /opt/headrace /opt/headrace
ENV PATH=/opt/headrace/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HEADRACE_HOME=/var/lib/headrace
USER 10001:10001
WORKDIR /app
VOLUME /var/lib/headrace
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "headrace"]
CMD ["--help"]
