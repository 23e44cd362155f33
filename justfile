# The project's commands. `just` itself comes from PyPI (rust-just) into .venv; see README.md.

set shell := ["bash", "-euo", "pipefail", "-c"]

export PATH := justfile_directory() / ".venv/bin:" + justfile_directory() / "tests/interop/node/node_modules/.bin:" + env("PATH")
debian := "nginx-light haproxy chromium ruby-grpc bubblewrap prometheus"
# Tests run in two processes; one that is done takes over half of what the other has left.
processes := "-n 2 --dist worksteal"
protos := "$(cd proto && find . -name '*.proto' | sed 's|^[.]/||' | sort)"

# List the commands.
default:
    @just --list --unsorted

# Install everything, developer tools included, into .venv (does nothing when it is there already).
install:
    @.ci/install dev

# What running takes: an eighth of that.
[private]
install-run:
    @.ci/install run

# Server and gateway in one process: what to start first.
[no-exit-message]
up *flags: install-run
    @python -m echo up {{flags}}

# The gRPC server alone.
[no-exit-message]
serve *flags: install-run
    @python -m echo serve {{flags}}

# The WebSocket gateway alone, under Hypercorn's trio worker.
[no-exit-message]
gateway *flags: install-run
    @python -m echo gateway {{flags}}

# What a path does to gRPC and WebSockets: `just probe HOST:PORT`; see --help.
[no-exit-message]
probe *flags: install-run
    @python -m echo probe {{flags}}

# Asks before it installs Debian packages, unless CI is set or --yes is given.
# Everything that must hold: style, types, import contracts, generated code, all tests.
check *flags: install (tools flags) style types contracts proto-check
    python -m pytest {{processes}}

# Those that need third-party programs or take long are left out; `-m ""` among the arguments brings them back. They run
# in two processes; `-n 8` makes that eight, `-n 0` none but pytest's own, for --pdb.
# Run the tests that need nothing but Python, in about three minutes; further arguments go to pytest.
[positional-arguments]
test *args: install
    python -m pytest {{processes}} -m "not third_party and not slow" "$@"

# Change the code of a file in small ways and see whether the tests notice; flags and files, see --help.
[no-exit-message]
[positional-arguments]
mutants *args: install
    @python -m tests.mutation "$@"

# Run nothing else meanwhile. All of it takes ten minutes and writes the README's tables and tests/bench/results.md;
# --quick takes two and writes nothing; `--only FIGURE,... --peers PEER,...` measures a few, see --help.
# What a message costs, side by side with other servers, clients and gateways.
[no-exit-message]
bench *flags: install
    @python -m tests.bench {{flags}}

# A quarter of an hour; --short takes a minute.
# What must be held under load and through faults, with real processes.
[no-exit-message]
soak *flags: install
    @python -m tests.soak {{flags}}

# Takes each Python that is found here, and for the oldest also the lowest versions of what echo depends on.
# Run the tests of the library and of the command line on every Python from 3.11 to 3.15.
matrix: install
    @tests/support/matrix.sh

# Build the pages of docs/ into site/; --serve shows them in a browser while you write.
[no-exit-message]
docs *flags: install
    @python -m docs.build {{flags}}

# Formatting and lint.
style: install
    ruff format --check --quiet
    ruff check --quiet

# mypy --strict.
types: install
    mypy

# Who may import whom; see [tool.importlinter] in pyproject.toml.
contracts: install
    lint-imports --no-cache

# Format the code and mend what can be mended mechanically.
fmt: install
    ruff check --fix --quiet
    ruff format --quiet

# Regenerate echo/pb from proto/.
proto: install
    @just generate echo/pb

# Regenerating must change nothing.
proto-check: install
    @scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT; just generate "$scratch"; \
        diff -r -x __pycache__ "$scratch" echo/pb || { echo "echo/pb is stale: run 'just proto'" >&2; exit 1; }

[private]
generate into:
    @python -m grpc_tools.protoc -Iproto --python_betterproto_out={{into}} \
        --descriptor_set_out={{into}}/descriptors.binpb --include_imports {{protos}} 2>&1 | { grep -v '^Writing' || true; }

# Clients from npm where Node.js is there to run them; proxies, a browser and the like from Debian where we may install
# them. A test whose program is missing is skipped and says so.
# Install the third-party programs that tests use; --yes without asking.
tools *flags:
    @tests/support/tools.sh "{{debian}}" {{flags}}

# For developing, for running from a checkout, for the image, and for building what goes into the image.
# Pin every dependency anew, in the same versions everywhere, with hashes and without addresses.
lock: install (pin "requirements-dev.txt pyproject.toml --group dev --all-extras --upgrade") \
    (pin "requirements.txt pyproject.toml --group run --extra gateway -c requirements-dev.txt") \
    (pin "deploy/image/requirements.txt pyproject.toml --extra gateway --extra telemetry -c requirements-dev.txt") \
    (pin "deploy/image/build.txt --group build -c requirements-dev.txt")

[private]
pin arguments:
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
        -o {{arguments}}

# Regenerate from the chart what deploy/kustomize has of it.
manifests: install (tools)
    @python -m tests.deploy.manifests

# Asks the registry by Docker; `just image-pin python:3.14.1-slim-trixie` moves on to another tag.
# Pin the image that ours is built on by its digest in the Dockerfile.
image-pin image="":
    @deploy/image/pin.sh {{image}}
