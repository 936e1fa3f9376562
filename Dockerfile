# One image for the API, the workers, beat, Flower and the migration, because they share their code.

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/weelo
WORKDIR /src

# The dependencies change rarely, so they are a layer of their own. Only wheels, because there is no compiler; only files
# with a known hash, because an index may later serve another file under the same version than the tested one.
COPY requirements.lock ./
RUN /opt/weelo/bin/pip install --only-binary=:all: --require-hashes --requirement requirements.lock

COPY setup.cfg pyproject.toml LICENSE celeryconfig.py ./
COPY weelo_workers weelo_workers
COPY weelo_api weelo_api
COPY weelo_client weelo_client
COPY weelo_demo weelo_demo
COPY weelo_lab weelo_lab
RUN /opt/weelo/bin/pip install --no-deps .


FROM python:3.11-slim-bookworm
# A numeric user, so that an orchestrator can see that it is not root. It has no home, no shell and nothing to write.
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin weelo
COPY --from=build /opt/weelo /opt/weelo
ENV PATH=/opt/weelo/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv
USER 10001:10001
EXPOSE 8000
# No ENTRYPOINT, because docker-compose.yml has each service's whole command line. No shell, so signals reach the program.
CMD ["weelo", "--help"]
