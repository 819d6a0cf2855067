"""Checks of what the project promises: exactness, conformance, robustness, budgets of time and memory."""
