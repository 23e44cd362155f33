# syntax=docker/dockerfile:1
# echo's image: `echo-grpc` and its dependencies, in a virtual environment on a slim Python, without any build tools.
#
# It runs as user 65532, needs no home directory and writes no files: run it with a read-only root file system. Without a
# command it runs the server and the gateway (`up`); the other commands are `serve`, `gateway`, `probe` and `health`.

# Pinned by the digest of the index for all platforms; `just image-pin` asks the registry for the current one.
ARG PYTHON_IMAGE=python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY deploy/image/build.txt deploy/image/requirements.txt ./
# Wheels only: nothing is compiled, and no package's code runs here.
RUN python -m venv --without-pip /opt/echo \
    && python -m pip install --quiet --require-hashes --only-binary :all: --requirement build.txt \
    && python -m pip --python /opt/echo/bin/python install --quiet --no-compile --require-hashes --only-binary :all: \
        --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY echo ./echo
# Modules are compiled here, since the root file system may be read-only, and never compared with their sources again.
RUN python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m pip --python /opt/echo/bin/python install --quiet --no-compile --no-deps --no-index /wheels/*.whl \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/echo/lib

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="echo-grpc" \
    org.opencontainers.image.description="gRPC echo services, a WebSocket gateway, and a probe of the paths to them" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# The base image has no compiled modules, and none can be written later: every start would compile them again.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x 'ensurepip|idlelib|pydoc_data|site-packages|tkinter' \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /opt/echo /opt/echo
ENV PATH=/opt/echo/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /
# The gateway, the gRPC server, and METRICS_PORT if it is 9090.
EXPOSE 8080 8081 9090
STOPSIGNAL SIGTERM
# For the server; a container that runs only `gateway` needs --health-cmd "echo-grpc health --http localhost:8080".
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 CMD ["echo-grpc", "health"]
ENTRYPOINT ["echo-grpc"]
CMD ["up"]
