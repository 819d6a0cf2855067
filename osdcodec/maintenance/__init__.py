"""Tools of the maintainers, which the wheel leaves out: benchmarks, vectors of the specification, experiments, releases."""
