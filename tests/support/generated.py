"""Code that other projects' generators make of `todo.proto`, compiled when a test first asks for it."""

import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType

PROTO = Path(__file__).with_name("todo.proto")


@cache
def generated(package: str, module: str, *options: str) -> ModuleType:
    """Import ``module`` of what the compiler makes with these options, which name outputs within a new ``package``.

    Args:
        package: What to call it; one for each set of options.
        module: Below the package, or at the top if the generator's imports insist on that: then it begins with a dot.
        options: Such as ``--python_out={}``, where the braces stand for the folder.
    """
    root = Path(mkdtemp(prefix="echo-generated-"))
    folder = root if module.startswith(".") else root / package
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO.parent}"]
    command += [option.replace("{}", str(folder)) for option in options]
    subprocess.run([*command, PROTO.name], check=True, capture_output=True, timeout=60)
    sys.path.append(str(root))
    try:
        return importlib.import_module(module[1:] if module.startswith(".") else f"{package}.{module}")
    finally:
        sys.path.remove(str(root))
