"""What setup.cfg installs: all of it, or a node breaks that runs without the clone."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "postmand"


def setup() -> ConfigParser:
    """Return setup.cfg, read."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    return config


def test_packages() -> None:
    """Every package of the tree is named, and none that is not there."""
    named = setup()["options"]["packages"].split()
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in HOUSE.rglob("__init__.py")
    }
    assert set(named) - {"twisted.plugins"} == found
    assert len(named) == len(set(named))


def test_files() -> None:
    """So is every file that is no module: pages, styles, tables."""
    patterns = setup()["options.package_data"]["postmand"].split()
    named = {path for pattern in patterns for path in HOUSE.glob(pattern)}
    found = {
        path
        for path in HOUSE.rglob("*")
        if path.is_file() and path.suffix != ".py" and path.parent.name != "__pycache__"
    }
    assert found - named == set()
    assert HOUSE / "web" / "static" / "style.css" in named
