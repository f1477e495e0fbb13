"""`make demo-internet`: what it promises is proven, each step by a line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import need

ROOT = Path(__file__).parents[2]
_STEPS = 10 + 8
_PATIENCE = 300.0


def test_all_steps_are_proven() -> None:
    """As its own program: every step has its proof, and the status says so."""
    need("nsd")
    need("unbound")
    need("postconf", "postfix")
    if os.geteuid() != 0:
        pytest.skip("Postfix runs as root only")
    done = subprocess.run(
        [sys.executable, "-m", "tests.world.demo"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=_PATIENCE,
        check=False,
    )
    assert "NOT PROVEN" not in done.stdout, done.stdout + done.stderr
    assert f"\n{_STEPS} of {_STEPS} steps are proven.\n" in done.stdout
    assert len(re.findall(r"^ +\d+\. ", done.stdout, re.MULTILINE)) == _STEPS
    assert done.returncode == 0, done.stderr


def test_make_runs_it() -> None:
    """The target is that program."""
    need("make")
    done = subprocess.run(
        ["make", "--dry-run", "demo-internet"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=_PATIENCE,
        check=True,
    )
    assert "python -m tests.world.demo" in done.stdout
