"""The Dockerfile's steps, run without Docker: each stage is a folder, and bubblewrap makes a container of it.

This machine stands in for the base image: its ``/usr`` without ``/usr/local``, and this Python, with pip, in
``/usr/local`` as the official image has it. Everything else is as the file says it: its instructions, with the shell
for RUN, variables that it sets and replaces, the files that COPY takes of the context (and `.dockerignore` lets
through), the user, and a root that can be written in RUN alone. What this can't show is the base image itself.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from string import Template

__all__ = ["Instruction", "Stage", "build", "container", "parse", "usable"]

# Of the machine: what its programs need, and with the variables below how it reaches a package index.
_MACHINE = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/lib32")
_WAY_OUT = re.compile(r"PIP_(?!NO_CACHE|ROOT|DISABLE|FIND_LINKS).*|.*_PROXY|.*_proxy|SSL_CERT_.*|REQUESTS_CA_BUNDLE")
# What the base image sets; the second stands in for the cache of its linker.
_BASE = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH": "/usr/local/lib"}
_LEFT_OUT = ("test", "site-packages", "idlelib", "turtledemo", "tkinter", "lib2to3", "__pycache__", "config-*")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name in capitals, and the rest with continued lines joined."""

    name: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The rest as a list: JSON if it is, else by blanks."""
        return list(map(str, json.loads(self.rest))) if self.rest.startswith("[") else self.rest.split()


@dataclass
class Stage:
    """What a stage has become: its folder, and what its instructions have set."""

    root: Path
    variables: dict[str, str]
    folder: str = "/"
    user: str = "0:0"
    said: dict[str, Instruction] = field(default_factory=dict)

    def set(self, text: str) -> dict[str, str]:
        """``NAME=value`` pairs, with variables replaced."""
        pairs = re.findall(r'([\w.]+)=("[^"]*"|\S*)', text)
        return {name: Template(value.strip('"')).safe_substitute(self.variables) for name, value in pairs}


def parse(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        Instruction(name.upper(), rest.strip()) for name, _, rest in (x.partition(" ") for x in whole.splitlines() if x)
    ]


def usable() -> bool:
    """Whether bubblewrap is there, and may make a container."""
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        return False
    return subprocess.run([bubblewrap, "--unshare-user", "--ro-bind", "/", "/", "true"], check=False).returncode == 0


def build(dockerfile: Path, work: Path) -> Stage:
    """Run all of it in ``work``; gives the last stage."""
    ignored = (dockerfile.parent / ".dockerignore").read_text().splitlines()
    base = _base(work / "base")
    stages: dict[str, Stage] = {}
    arguments: dict[str, str] = {}
    stage = Stage(work, {})
    for number, instruction in enumerate(parse(dockerfile.read_text())):
        name, rest = instruction.name, instruction.rest
        if name == "ARG" and not stages:
            arguments |= stage.set(rest)
        elif name == "FROM":
            image, _, alias = rest.partition(" AS ")
            assert "@sha256:" in Template(image).substitute(arguments)
            stage = stages[alias or "last"] = Stage(work / f"stage-{number}", dict(_BASE))
            shutil.copytree(base, stage.root / "usr/local", symlinks=True)
        elif name == "COPY":
            _copy(stage, instruction, dockerfile.parent, ignored, stages)
        elif name == "RUN":
            _run(stage, rest)
        elif name in {"ENV", "ARG"}:
            stage.variables |= stage.set(rest)
        elif name == "WORKDIR":
            stage.folder = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "USER":
            stage.user = rest
        else:
            stage.said[name] = instruction
    return stage


def container(
    stage: Stage, command: Sequence[str], variables: Mapping[str, str] = {}, *, writable: bool = False
) -> list[str]:
    """The command line that runs a command in the stage, as its user, and unless ``writable`` with a read-only root."""
    for folder in ("proc", "dev", "usr/local", *(path.lstrip("/") for path in _machine())):
        (stage.root / folder).mkdir(parents=True, exist_ok=True)
    user, _, group = stage.user.partition(":")
    line = ["bwrap", "--die-with-parent", "--unshare-user", "--uid", user, "--gid", group or "0", "--unshare-ipc"]
    line += ["--unshare-pid", "--as-pid-1"]
    line += ["--bind" if writable else "--ro-bind", str(stage.root), "/", "--proc", "/proc", "--dev", "/dev"]
    for path in _machine():
        line += ["--ro-bind", path, path]
    line += [
        "--bind" if writable else "--ro-bind",
        str(stage.root / "usr/local"),
        "/usr/local",
        "--chdir",
        stage.folder,
        "--clearenv",
    ]
    for name, value in {**stage.variables, **variables}.items():
        line += ["--setenv", name, value]
    return [*line, "--", *command]


def _machine() -> Iterator[str]:
    return (path for path in _MACHINE if Path(path).exists())


def _run(stage: Stage, command: str) -> None:
    out = {name: value for name, value in os.environ.items() if _WAY_OUT.fullmatch(name)}
    (stage.root / "tmp").mkdir(exist_ok=True)
    subprocess.run(container(stage, ["/bin/sh", "-c", command], out, writable=True), check=True, timeout=300)


def _copy(stage: Stage, instruction: Instruction, context: Path, ignored: list[str], stages: dict[str, Stage]) -> None:
    *sources, target = instruction.words
    origin = context
    if sources[0].startswith("--from="):
        origin = stages[sources.pop(0).removeprefix("--from=")].root
    into = stage.root / str(Path(stage.folder, target)).lstrip("/")
    for source in sources:
        path = origin / source.lstrip("/")
        if origin is context:
            assert passes(source, ignored), f".dockerignore keeps {source} out"
        if path.is_dir():
            shutil.copytree(
                path, into, symlinks=True, ignore=shutil.ignore_patterns("__pycache__") if origin is context else None
            )
        else:
            shutil.copy(path, into)


def passes(path: str, ignored: Sequence[str]) -> bool:
    """Whether `.dockerignore` lets a file of the context through: the last of its lines that matches decides."""
    kept = True
    for line in ignored:
        pattern = line.lstrip("!").removeprefix("**/")
        parts = (
            [path, *(str(parent) for parent in Path(path).parents)] if not line.startswith("**/") else Path(path).parts
        )
        if line and not line.startswith("#") and any(fnmatch(part, pattern) for part in parts):
            kept = line.startswith("!")
    return kept


def _base(root: Path) -> Path:
    """``/usr/local`` of the base image: this Python, with pip and without other packages."""
    origin, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copytree(
        sysconfig.get_path("stdlib"), root / "lib" / version, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True
    )
    (root / "bin").mkdir()
    shutil.copy(Path(sys.base_prefix, "bin", version).resolve(), root / "bin" / version)
    for library in (origin / "lib").glob("libpython*.so*"):
        shutil.copy(library, root / "lib", follow_symlinks=False)
    for name in ("python", "python3"):
        (root / "bin" / name).symlink_to(version)
    pip = find_spec("pip")
    assert pip is not None
    assert pip.origin is not None
    packages = root / "lib" / version / "site-packages"
    shutil.copytree(Path(pip.origin).parent, packages / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    return root
