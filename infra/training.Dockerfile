# The training job of Vertex AI:  docker build -f infra/training.Dockerfile .
FROM python:3.11.13-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SPOTIFY_MLOPS_HOME=/app
WORKDIR /app

# Exact versions with their hashes; a layer that changes only with the lock.
COPY requirements-bootstrap.lock requirements.lock ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements-bootstrap.lock \
    && uv pip install --no-cache --system --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src ./src
COPY params ./params
RUN uv pip install --no-cache --system --no-deps --no-build-isolation .

RUN useradd --create-home --uid 10001 trainer
USER trainer

# Vertex AI gives AIP_MODEL_DIR; arguments such as --params and --set follow.
ENTRYPOINT ["python", "-m", "spotify_mlops.model.train"]
