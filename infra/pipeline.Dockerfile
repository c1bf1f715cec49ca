# The workers of the streaming job on Dataflow:  infra/build.sh pipeline TAG
# Python and Beam's SDK by digest, not by tags that may move: build.sh gives them.
ARG PYTHON_IMAGE
ARG BEAM_IMAGE

FROM ${BEAM_IMAGE} AS beam

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build

# Exact versions with their hashes; a layer that changes only with the locks.
COPY requirements-bootstrap.lock requirements-build.lock requirements-pipeline.lock ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements-bootstrap.lock \
    && uv pip install --no-cache --system --require-hashes -r requirements-build.lock \
    && uv venv /venv \
    && uv pip install --no-cache --python /venv --require-hashes -r requirements-pipeline.lock

COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src ./src
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && uv pip install --no-cache --python /venv --no-deps dist/*.whl

# What runs has neither the tools that built it nor anything of another use.
FROM ${PYTHON_IMAGE}
# The worker runs in the environment that is here: it installs nothing when it starts.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    SPOTIFY_MLOPS_HOME=/app
WORKDIR /app
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=build /venv /venv
COPY params ./params
COPY LICENSE NOTICE ./

# As the SDK's own image: by root, to whom the folder belongs that Dataflow mounts for the worker.
ENTRYPOINT ["/opt/apache/beam/boot"]
