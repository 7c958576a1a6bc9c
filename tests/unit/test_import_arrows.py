"""Imports point one way, offline -> realtime -> engines, and the base install holds no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "engines": {"engines"},
    "realtime": {"realtime", "engines"},
    "offline": {"offline", "realtime", "engines"},
}
FILES = [
    path.relative_to(PROJECT) for package in MAY_IMPORT for path in sorted((PROJECT / package).rglob("*.py"))
]
WORKSHOP_ONLY = ("torch", "torchaudio", "librosa", "sklearn", "scipy", "matplotlib", "onnx", "safetensors")
BASE_MODULES = (
    "realtime.cli",
    "realtime.live",
    "realtime.pipeline",
    "realtime.engine",
    "engines.onnx_backend",
    "engines.pack",
    "offline.cli",
    "offline.predict",
)


def imported_modules(source, package):
    """Full names of everything a file imports, wherever in the file it does."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            names.append(".".join([*parents, *([node.module] if node.module else [])]))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            names += [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
    return names


def modules_of(file):
    package = ".".join(file.parent.parts)
    return imported_modules((PROJECT / file).read_text(encoding="utf-8"), package)


def test_every_form_of_import_is_seen():
    source = """
import engines.pack as pack
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from offline.clips import Clip
def later():
    from ..features import stack
    from . import clock
    import importlib
    importlib.import_module("sounddevice")
"""
    ours = {"engines.pack", "offline.clips", "realtime.features", "realtime.sinks"}
    assert set(imported_modules(source, "realtime.sinks")) == {*ours, "typing", "importlib", "sounddevice"}


def test_there_is_something_to_look_at():
    assert {file.parts[0] for file in FILES} == set(MAY_IMPORT)
    assert len(FILES) > 40


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_point_the_way_of_the_arrows(file):
    for module in modules_of(file):
        package = module.split(".")[0]
        assert package != "tests", f"{file} imports {module}"
        if package in MAY_IMPORT:
            assert package in MAY_IMPORT[file.parts[0]], f"{file} imports {module}"


def importers_of(package):
    return {file for file in FILES if any(name.split(".")[0] == package for name in modules_of(file))}


def test_sounddevice_is_imported_in_one_place():
    assert importers_of("sounddevice") == {Path("realtime", "sound", "portaudio.py")}


def test_onnxruntime_is_prepared_wherever_it_is_imported():
    importers = importers_of("onnxruntime")
    assert Path("engines", "onnx_backend.py") in importers
    for file in importers:
        assert "import_onnxruntime()" in (PROJECT / file).read_text(encoding="utf-8"), file


@pytest.mark.parametrize("package", ["torch", "torchaudio", "onnxruntime", "librosa", "matplotlib"])
def test_heavy_packages_are_in_no_file_that_everything_imports(package):
    for file in FILES:
        if file.name == "__init__.py":
            assert package not in {name.split(".")[0] for name in modules_of(file)}, file


def test_the_base_install_needs_nothing_of_the_workshop():
    script = f"""
import importlib, sys
for name in {WORKSHOP_ONLY!r}:
    sys.modules[name] = None
for name in {BASE_MODULES!r}:
    importlib.import_module(name)
"""
    ran = run_script(script)
    assert ran.returncode == 0, ran.stderr


def test_the_base_modules_load_nothing_of_the_workshop_where_it_is_installed():
    script = f"""
import importlib, sys
for name in {BASE_MODULES!r}:
    importlib.import_module(name)
print(sorted(set({WORKSHOP_ONLY!r}) & sys.modules.keys()))
"""
    ran = run_script(script)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "[]\n"


def run_script(script):
    return subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=120
    )
