# The project's commands. `just` itself comes from PyPI (rust-just) into .venv; see README.md.

set shell := ["bash", "-euo", "pipefail", "-c"]

export PATH := justfile_directory() / ".venv/bin:" + justfile_directory() / "tests/interop/node/node_modules/.bin:" + env("PATH")
debian := "nginx-light haproxy nghttp2-client chromium ruby-grpc"
protos := "$(cd proto && find . -name '*.proto' | sed 's|^[.]/||' | sort)"

# List the commands.
default:
    @just --list

# Install the pinned dependencies and echo itself into .venv (does nothing when they are there already).
install:
    @[ -x .venv/bin/python ] || python3 -m venv .venv
    @if ! cmp -s requirements.txt .venv/installed.txt; then \
        echo "installing the pinned dependencies into .venv (once; about a minute)"; \
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt; \
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .; \
        cp requirements.txt .venv/installed.txt; \
    fi

# Server and gateway in one process: what to start first.
up *flags: install
    @python -m echo up {{flags}}

# The gRPC server alone.
serve *flags: install
    @python -m echo serve {{flags}}

# The WebSocket gateway alone, under Hypercorn's trio worker.
gateway *flags: install
    @python -m echo gateway {{flags}}

# Everything that must hold: style, types, import contracts, generated code, tests.
check: install tools style types contracts proto-check test

# Run the tests; further arguments go to pytest.
test *args: install tools
    python -m pytest {{args}}

# Nothing else should run beside it; --quick takes two minutes, all of it ten.
# What a message costs, side by side with other servers, clients and gateways.
bench *flags: install
    @python -m tests.bench {{flags}}

# A quarter of an hour; --short takes a minute.
# What must be held under load and through faults, with real processes.
soak *flags: install tools
    @python -m tests.soak {{flags}}

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
# Install the programs of other makes that tests use.
tools:
    @if command -v apt-get >/dev/null && ! dpkg --status {{debian}} >/dev/null 2>&1; then \
        if [ "$(id -u)" = 0 ]; then \
            echo "installing {{debian}} (once)"; \
            export DEBIAN_FRONTEND=noninteractive; \
            apt-get -qq update; \
            apt-get -qq install --no-install-recommends {{debian}} >/dev/null; \
        else \
            echo "tests with these are skipped until you install them: sudo apt-get install {{debian}}" >&2; \
        fi; \
    fi
    @if command -v npm >/dev/null && ! [ tests/interop/node/node_modules/.package-lock.json -nt tests/interop/node/package-lock.json ]; then \
        npm ci --prefix tests/interop/node --silent --no-audit --no-fund; \
    fi

# Pin every dependency anew, with hashes and without addresses.
lock: install
    uv pip compile --quiet --universal --python-version 3.11 --group dev --generate-hashes --no-emit-index-url \
        --no-header --upgrade pyproject.toml -o requirements.txt
