"""Symbols <-> bytes, in integers only: the rANS stack, the integer network and the prior that it evaluates. No torch."""
