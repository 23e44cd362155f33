#!/usr/bin/env bash
# Writes the digest of a base image into the Dockerfile, as the registry has it now: pin.sh [IMAGE:TAG]
#
# Without an argument the tag stays what it is. The digest is that of the index, which is good for every platform.
set -euo pipefail
cd "$(dirname "$0")/../.."
tag=${1:-$(sed -n 's/^ARG PYTHON_IMAGE=\([^@]*\).*/\1/p' Dockerfile)}
if ! digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$tag"); then
    echo "cannot look up $tag: this needs Docker with buildx, and a way to the registry" >&2
    exit 1
fi
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "this is no digest of $tag: $digest" >&2; exit 1; }
sed -i "s|^ARG PYTHON_IMAGE=.*|ARG PYTHON_IMAGE=$tag@$digest|" Dockerfile
echo "$tag@$digest"
