# The training job of Vertex AI:  infra/build.sh training TAG
# Python by digest, not by a tag that may move: build.sh gives it, and without it nothing is built.
ARG PYTHON_IMAGE

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build

# Exact versions with their hashes; a layer that changes only with the locks.
COPY requirements-bootstrap.lock requirements-build.lock requirements-training.lock ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements-bootstrap.lock \
    && uv pip install --no-cache --system --require-hashes -r requirements-build.lock \
    && uv venv /venv \
    && uv pip install --no-cache --python /venv --require-hashes -r requirements-training.lock

COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src ./src
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && uv pip install --no-cache --python /venv --no-deps dist/*.whl

# What runs has neither the tools that built it nor anything of another use.
FROM ${PYTHON_IMAGE}
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SPOTIFY_MLOPS_HOME=/app
WORKDIR /app
COPY --from=build /venv /venv
COPY params ./params
COPY LICENSE NOTICE ./

RUN useradd --create-home --uid 10001 trainer
USER trainer

# Vertex AI gives AIP_MODEL_DIR; arguments such as --resolved-params follow.
ENTRYPOINT ["python", "-m", "spotify_mlops.cli.training_job"]
