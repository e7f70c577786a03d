"""Helpers of the end-to-end tests: real servers on loopback, real clients, and the arithmetic of a message's octets."""
