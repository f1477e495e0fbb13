"""axe-core and html-validate of npm, in the versions of package-lock.json."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.conftest import need

_HERE = Path(__file__).parent
_LISTS = ("package.json", "package-lock.json")
# Beside the packages of Python: `make clean` removes both.
_THERE = Path(sys.prefix) / "npm"

# What html-validate knows by itself, without its opinions of style.
_RULES = {
    "root": True,
    "extends": ["html-validate:standard", "html-validate:a11y"],
    "rules": {
        # "submit" is what a button is without a type, and ours name theirs anyway.
        "no-implicit-button-type": "error",
        "no-inline-style": "error",
        "require-csp-nonce": "off",
        "require-sri": "off",
    },
}


def installed() -> Path:
    """Return where the packages are, installed if need be; skip where they can't be."""
    npm = need("npm")
    need("node", "nodejs")
    if all(_same(name) for name in _LISTS):
        return _THERE / "node_modules"
    _THERE.mkdir(exist_ok=True)
    shutil.copy(_HERE / "package.json", _THERE)
    shutil.copy(_HERE / "package-lock.json", _THERE / "package-lock.json")
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        capture_output=True,
        text=True,
        cwd=_THERE,
        timeout=300,
        check=False,
    )
    if done.returncode:
        shutil.rmtree(_THERE)
        reason = f"npm brings no packages: {done.stderr[-500:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return _THERE / "node_modules"


def _same(name: str) -> bool:
    there = _THERE / name
    made = _THERE / "node_modules" / ".package-lock.json"
    return (
        made.exists()
        and there.exists()
        and there.read_bytes() == (_HERE / name).read_bytes()
    )


def invalid(texts: dict[str, str], modules: Path, base: Path) -> dict[str, list[str]]:
    """Return what html-validate says of documents, by their names."""
    (base / ".htmlvalidate.json").write_text(json.dumps(_RULES))
    for name, text in texts.items():
        (base / f"{name}.html").write_text(text)
    program = modules / "html-validate" / "bin" / "html-validate.mjs"
    done = subprocess.run(
        [need("node", "nodejs"), str(program), "--formatter", "json", "."],
        capture_output=True,
        text=True,
        cwd=base,
        timeout=120,
        check=False,
    )
    assert done.stdout.startswith("["), done.stderr
    found: dict[str, list[str]] = {name: [] for name in texts}
    for result in json.loads(done.stdout):
        found[Path(result["filePath"]).stem] = [
            f"{one['line']}:{one['column']} {one['ruleId']}: {one['message']}"
            for one in result["messages"]
        ]
    return found


class Axe:
    """axe-core, with all its rules but the experimental ones."""

    def __init__(self, modules: Path) -> None:
        self._source = (modules / "axe-core" / "axe.min.js").read_text()

    def faults(self, page: Page) -> list[str]:
        """Return what it finds on the page as it is now."""
        page.evaluate(f"{self._source}; null")
        found: list[dict[str, Any]] = page.evaluate(
            "axe.run({resultTypes: ['violations']}).then(found => found.violations)"
        )
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found
            for node in one["nodes"]
        ]
