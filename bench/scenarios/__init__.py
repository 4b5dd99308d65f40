"""The six parts of the benchmark, one module each; every one has `measure(bench) -> Section`."""
