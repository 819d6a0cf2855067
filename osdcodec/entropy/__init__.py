"""Symbols <-> bytes, in integers only: the rANS stack, the integer network and the prior over it. No torch."""
