"""postmand: the mail system of an anonymous network as one open program."""

__version__ = "0.1.0"
