"""Benchmarks: one module per arrow of the flow. `make bench` runs all of them and writes one JSON per machine."""
