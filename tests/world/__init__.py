"""The Internet as the tests need it, on loopback: what is around a gateway."""
