"""Why the register made no change: the texts are for the operator."""

from __future__ import annotations


class RegistryError(Exception):
    """A change that was not made; the text says why, in words for the operator."""


class NoSuchAccountError(RegistryError):
    """There is no account of this name."""


class AccountExistsError(RegistryError):
    """There is an account of this name already."""


class NameClosedError(RegistryError):
    """The name was an account's that is gone, and nobody may have it yet."""


class StampUsedError(RegistryError):
    """The stamp that was to pay for the account was spent before."""


class WrongSecretError(RegistryError):
    """The password, or the recovery code, does not open the account."""


class ChangedMeanwhileError(RegistryError):
    """Another hand changed the account at the same time: try again."""
