"""Strangers become members here, and members change what is theirs.

Passwords go through the servers' checker, recovery codes through one like it: the same
queue, work and delays. What else is stretched or changed is done one at a time.
"""

from postmand.members.members import Members, membership

__all__ = ["Members", "membership"]
