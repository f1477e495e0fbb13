"""What an observer of both ends learns of who sent which mail: `make anonymity`.

Members hand in mail, the node's own queue, pool and runner release it on a simulated
clock, and an observer who saw every hand-in (who, when, about how large) and every
release (when, about how large), and who knows the rules and what they are set to, works
out for each release how likely each account is its sender. What is not in the product
goes the same way with a rule of its own put in.

The set of a release is 2^entropy of that, over accounts: Serjantov and Danezis 2002.
Nothing but time and size is looked at. What somebody writes, to whom, and what an
observer learns over months from who is there when (intersection) is not in these
figures.
"""
