#!/usr/bin/env bash
# Writes the current digest of a base image into the Dockerfile: pin.sh [IMAGE:TAG]
#
# Without an argument the tag stays the same. The digest is that of the index, which covers all platforms.
set -euo pipefail
cd "$(dirname "$0")/../.."
tag=${1:-$(sed -n 's/^ARG PYTHON_IMAGE=\([^@]*\).*/\1/p' Dockerfile)}
if ! digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$tag"); then
    echo "cannot look up $tag: this needs Docker with buildx, and access to the registry" >&2
    exit 1
fi
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "this is not a digest of $tag: $digest" >&2; exit 1; }
sed -i "s|^ARG PYTHON_IMAGE=.*|ARG PYTHON_IMAGE=$tag@$digest|" Dockerfile
echo "$tag@$digest"
