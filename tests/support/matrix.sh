#!/usr/bin/env bash
# The tests of the library and of the command line on every Python that echo supports and this machine has; see `just matrix`.
set -euo pipefail
cd "$(dirname "$0")/../.."

tests="tests/wire tests/transport tests/rpc tests/services tests/test_examples.py"
tests+=" tests/cli tests/health tests/test_standard_streams.py"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

try() {
    local name=$1 python=$2
    shift 2
    echo "== $name"
    uv venv --quiet --python "$python" "$folder/$name"
    uv pip install --quiet --python "$folder/$name" "$@"
    uv pip freeze --quiet --python "$folder/$name" --exclude-editable >"$folder/$name.txt"  # All this stays as it is.
    uv pip install --quiet --python "$folder/$name" --constraint "$folder/$name.txt" --group dev
    "$folder/$name/bin/python" -m pytest -q -p no:cacheprovider -m "not third_party and not slow" $tests
}

tried=
for version in 3.11 3.12 3.13 3.14 3.15; do
    python=$(uv python find --no-python-downloads "$version" 2>/dev/null) || { echo "== $version is not here"; continue; }
    tried+=" $version"
    try "$version" "$python" -r requirements-dev.txt -e .
    [ "$version" = 3.11 ] || continue
    # Code that a later grpcio-tools has generated refuses the lowest version of protobuf, and that of an example is there.
    PYTEST_ADDOPTS='-k "not (other_libraries and grpcio)"' \
        try "$version-lowest" "$python" --resolution lowest-direct -e ".[all]" "grpcio-tools>=1.72,<1.73"
done
echo "== passed on$tried, and on the oldest with the lowest versions"
