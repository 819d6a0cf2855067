"""Experiments behind the pages of results: the papers' claims, ablations, needs of a GPU."""
