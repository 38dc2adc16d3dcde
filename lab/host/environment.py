"""The Python environment that a project's options name: where it is, what is installed in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class EnvironmentProblem(Exception):
    """The project's Python cannot be used; the text says why and what to do."""


_LIST_PACKAGES = """
import importlib.metadata, importlib.util, json, os, re
seen, required = {}, set()
for dist in importlib.metadata.distributions():
    name = dist.metadata["Name"]
    if not name or name in seen:
        continue
    for line in dist.requires or []:
        if "extra ==" not in line:
            required.add(re.sub(r"[-_.]+", "-", re.match(r"[\\w.-]+", line)[0]).lower())
    plugin = None
    try:
        spec = importlib.util.find_spec(name.replace("-", "_"))
    except (ImportError, ValueError):
        spec = None
    for place in (spec.submodule_search_locations if spec else None) or []:
        path = os.path.join(place, "pulumi-plugin.json")
        if os.path.isfile(path):
            with open(path) as file:
                plugin = json.load(file)
            break
    seen[name] = {"name": name, "version": dist.version, "plugin": plugin}
for name, entry in seen.items():
    entry["required"] = re.sub(r"[-_.]+", "-", name).lower() in required
print(json.dumps(list(seen.values())))
"""


@dataclass(frozen=True)
class PythonEnvironment:
    """The interpreter of a project or plugin."""

    root: Path
    """Directory of Pulumi.yaml or PulumiPlugin.yaml."""
    virtualenv: Path | None
    """The virtualenv of the options; None for the Python on PATH."""
    typechecker: str | None = None
    """Checked with this module before each run: mypy, pyright or None."""

    @classmethod
    def of(cls, root: str, options: Mapping[str, Any], plugin: bool = False) -> PythonEnvironment:
        """Reads the runtime options of a project.

        Args:
            root: directory that relative paths start from.
            options: `runtime.options` of Pulumi.yaml.
            plugin: plugins get a virtualenv `venv` when they name none.

        Raises:
            EnvironmentProblem: an option has a value that this host does not serve.
        """
        toolchain = options.get("toolchain", "pip")
        if toolchain != "pip":
            raise EnvironmentProblem(
                f"runtime option toolchain: {toolchain} is not served by this language host; "
                "use toolchain: pip, or a Pulumi that brings its own pulumi-language-python"
            )
        typechecker = options.get("typechecker")
        if typechecker not in (None, "mypy", "pyright"):
            raise EnvironmentProblem(f"unsupported typechecker option: {typechecker}")
        name = options.get("virtualenv") or ("venv" if plugin else None)
        base = Path(root)
        return cls(base, base / name if name else None, typechecker)

    @property
    def python(self) -> str:
        """The interpreter."""
        if self.virtualenv is None:
            return os.environ.get("PULUMI_PYTHON_CMD", "python3")
        return str(self.virtualenv / "bin" / "python")

    def activated(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Returns the environment variables for a child, the virtualenv first on PATH."""
        env = {**os.environ, **(extra or {})}
        if self.virtualenv is not None:
            env["VIRTUAL_ENV"] = str(self.virtualenv)
            env["PATH"] = f"{self.virtualenv / 'bin'}{os.pathsep}{env.get('PATH', '')}"
            env.pop("PYTHONHOME", None)
        return env

    def validate(self) -> None:
        """Raises EnvironmentProblem where the virtualenv is missing or is none."""
        if self.virtualenv is None or Path(self.python).exists():
            return
        state = (
            "does not look like a virtual environment"
            if self.virtualenv.is_dir()
            else "does not exist"
        )
        raise EnvironmentProblem(
            f"The 'virtualenv' option in Pulumi.yaml names {self.virtualenv}, which {state}.\n"
            f"Create it: python3 -m venv {self.virtualenv} && "
            f"{self.virtualenv}/bin/python -m pip install -r {self.root / 'requirements.txt'}"
        )

    def ensure(self, directory: Path, write: Callable[[str], None]) -> None:
        """Makes a missing virtualenv and installs the requirements of `directory` into it."""
        if self.virtualenv is None or self.virtualenv.exists():
            return
        for line in self.install(directory, package=False):
            write(line)

    def install(self, directory: Path, package: bool) -> Iterator[str]:
        """Makes the virtualenv where it is missing, installs into it and yields the output.

        Args:
            directory: where requirements.txt lies.
            package: also install `directory` itself where it is a Python package.
        """
        if self.virtualenv is not None and not Path(self.python).exists():
            yield f"Creating virtual environment {self.virtualenv}\n"
            yield from self._stream([sys.executable, "-m", "venv", str(self.virtualenv)])
        pip = [self.python, "-m", "pip", "install", "--disable-pip-version-check"]
        if package and _is_buildable(directory):
            yield from self._stream([*pip, str(directory)])
        requirements = directory / "requirements.txt"
        if requirements.exists():
            yield from self._stream([*pip, "-r", str(requirements)], cwd=directory)

    def packages(self) -> list[dict[str, Any]]:
        """Lists what is installed: name, version, pulumi-plugin.json and whether others need it."""
        result = subprocess.run(
            [self.python, "-c", _LIST_PACKAGES],
            capture_output=True,
            text=True,
            check=False,
            env=self.activated(),
            cwd=self.root,
        )
        if result.returncode != 0:
            reason = (result.stderr.strip().splitlines() or ["no output"])[-1]
            raise EnvironmentProblem(f"the packages of {self.python} cannot be listed: {reason}")
        listed: list[dict[str, Any]] = json.loads(result.stdout)
        return listed

    def _stream(self, command: list[str], cwd: Path | None = None) -> Iterator[str]:
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.activated(),
            cwd=cwd or self.root,
        ) as child:
            assert child.stdout is not None  # noqa: S101 Popen was given a pipe
            yield from child.stdout
        if child.returncode != 0:
            raise EnvironmentProblem(f"{' '.join(command)} failed (exit {child.returncode})")


def _is_buildable(directory: Path) -> bool:
    pyproject = directory / "pyproject.toml"
    return pyproject.exists() and "[build-system]" in pyproject.read_text()
