"""Versions of the software that a result depends on."""

import importlib.metadata
import platform
from collections.abc import Iterable


def software_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of those of the `packages` that are installed, by name."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
