"""The actions that our workflows use, as far as a rehearsal needs them, on this machine."""

from __future__ import annotations

import shutil
import subprocess
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["ACTIONS", "ActionError", "Stage"]


class ActionError(Exception):
    """An action fails, as the real one would."""


class Stage:
    """What the jobs of one run share.

    Attributes:
        origin: The repository that is checked out, and pushed to.
        workspace: Where each job works: the same place, empty at first, as on GitHub.
        artifacts: A folder for each artifact.
        pages: What was deployed, or None.
    """

    def __init__(self, root: Path, origin: Path) -> None:
        self.origin = origin
        self.workspace = root / "work"
        self.artifacts = root / "artifacts"
        self.artifacts.mkdir()
        self.pages: Path | None = None

    def sweep(self) -> None:
        """Leave nothing of one job to the next."""
        shutil.rmtree(self.workspace, ignore_errors=True)
        self.workspace.mkdir()


def _check_out(stage: Stage, inputs: dict[str, Any]) -> dict[str, str]:
    if inputs.pop("persist-credentials") is not False:
        msg = "the token must not stay in the checkout"
        raise ActionError(msg)
    subprocess.run(["git", "clone", "--quiet", stage.origin, stage.workspace], check=True)  # noqa: S603, S607
    return {}


def _set_up_python(_stage: Stage, inputs: dict[str, Any]) -> dict[str, str]:
    for version in str(inputs.pop("python-version")).split():
        if not fnmatchcase(version, "3.[0-9]*"):
            msg = f"there is no Python {version}"
            raise ActionError(msg)
    return {}


def _upload(stage: Stage, inputs: dict[str, Any]) -> dict[str, str]:
    """Take a file or a folder; what is hidden, and another of that name, only if that is said."""
    name, path = str(inputs.pop("name")), str(inputs.pop("path")).strip()
    hidden, lacking = inputs.pop("include-hidden-files", False), inputs.pop("if-no-files-found")
    overwrite = inputs.pop("overwrite", False)
    source, target = stage.workspace / path, stage.artifacts / name
    if target.exists() and not overwrite:
        msg = f"an artifact {name} is there already"
        raise ActionError(msg)
    files = [source] if source.is_file() else [f for f in source.rglob("*") if f.is_file()]
    parts = {file: file.relative_to(stage.workspace).parts for file in files}
    files = [f for f in files if hidden or not any(p.startswith(".") for p in parts[f])]
    if not files and lacking == "error":
        msg = f"no files at {path}"
        raise ActionError(msg)
    shutil.rmtree(target, ignore_errors=True)
    root = source.parent if source.is_file() else source
    for file in files:
        place = target / file.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    return {}


def _download(stage: Stage, inputs: dict[str, Any]) -> dict[str, str]:
    """Put an artifact into a folder, or all that a pattern fits each into its own."""
    target = stage.workspace / str(inputs.pop("path", "."))
    name, pattern = inputs.pop("name", None), inputs.pop("pattern", None)
    merged = inputs.pop("merge-multiple", False)
    if name is not None and not (stage.artifacts / name).is_dir():
        msg = f"there is no artifact {name}"
        raise ActionError(msg)
    for artifact in sorted(stage.artifacts.iterdir()):
        if artifact.name == name:
            shutil.copytree(artifact, target, dirs_exist_ok=True)
        elif pattern and fnmatchcase(artifact.name, pattern):
            into = target if merged else target / artifact.name
            shutil.copytree(artifact, into, dirs_exist_ok=True)
    return {}


def _upload_pages(stage: Stage, inputs: dict[str, Any]) -> dict[str, str]:
    said = {"name": inputs.pop("name"), "path": inputs.pop("path")}
    return _upload(stage, {**said, "if-no-files-found": "error"})


def _deploy_pages(stage: Stage, inputs: dict[str, Any]) -> dict[str, str]:
    stage.pages = stage.artifacts / str(inputs.pop("artifact_name"))
    if not (stage.pages / "index.html").is_file():
        msg = "there is no page to deploy"
        raise ActionError(msg)
    return {"page_url": "https://pages.invalid/"}


ACTIONS: Mapping[str, Callable[[Stage, dict[str, Any]], dict[str, str]]] = {
    "actions/checkout": _check_out,
    "actions/setup-python": _set_up_python,
    "actions/upload-artifact": _upload,
    "actions/download-artifact": _download,
    "actions/upload-pages-artifact": _upload_pages,
    "actions/deploy-pages": _deploy_pages,
}
"""By name: gets the inputs, and takes out those it knows; returns its outputs."""
