"""Measurements of the node, side by side with real servers on the same machine.

`make bench`, or `python -m benchmarks --help` for less than all of it. As root, and
with Debian's postfix, dovecot-core and dovecot-pop3d installed, ours is compared with
them; otherwise it is measured alone. Servers are measured in turn, A B A B, and medians
shown: compare figures of one run, not those of two. Clients and servers share the
cores, so a rate is a matter of both; the CPU time of a message is the server's alone.

A message counts when its 250 is there. What is stored is counted afterwards.
"""
