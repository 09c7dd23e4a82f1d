"""What this machine can do: the figures of `terraloom bench` and `terraloom engines bench`.

Everything is measured in one run, the ceilings too, so that ratios hold on a machine that is shared and noisy. The folder `benchmarks`
of the repository times more, and keeps results by commit; this is what a user runs.
"""
