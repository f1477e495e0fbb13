"""How mail leaves the queue: to the gateways that take it to the Internet."""
