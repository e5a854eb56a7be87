# One image for the Ray head, its nodes and the HTTP instances; docker-compose.yml says which runs.
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    RAY_AUTH_MODE=token \
    RAY_USAGE_STATS_ENABLED=0 \
    RAY_worker_niceness=0

RUN useradd --create-home --uid 10001 orchestrator \
    && install --directory --owner=orchestrator /srv/chat-orchestrator /tmp/ray

WORKDIR /srv/chat-orchestrator

COPY pyproject.toml constraints.txt README.md LICENSE alembic.ini ./
COPY actors ./actors
COPY ingress ./ingress
COPY storage ./storage
RUN pip install -c constraints.txt .

USER orchestrator
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=5 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]

# Joins the cluster at RAY_HEAD (a driver needs a node of the cluster on its own machine), then serves.
CMD ["sh", "-c", "ray start --address=\"${RAY_HEAD:-ray-head:6379}\" --num-cpus=0 --object-store-memory=134217728 && exec uvicorn ingress.app:app --host 0.0.0.0 --port 8000"]
