"""What is raised for a configuration that can not be used."""

from __future__ import annotations


class ConfigError(Exception):
    """One line: file, section, key, what is wrong, and what to write instead."""
