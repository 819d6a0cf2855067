"""Generators of the conformance vectors in spec/vectors."""
