"""Measures of how near a decoded picture is to its original; each stands once."""
