"""A peer that is not installed: told, and never passed over in CI."""

from __future__ import annotations

import pytest

from tests.conftest import need


def test_skip_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user is told which package is missing, and the command that installs it."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no-such-package.*make peers"):
        need("no-such-program", "no-such-package")


def test_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI the same is a failure."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        need("no-such-program")
