"""Measuring the codec. Needs torch and the extra `eval`."""
