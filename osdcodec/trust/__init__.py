"""What a decoded picture shows that is not in the file: a map of expected error and likeness (README.md), marks, told errors.

The map is computed where it is asked for, by `network.expect`; `truth.measure` computes the same of an original and what came back.
"""
