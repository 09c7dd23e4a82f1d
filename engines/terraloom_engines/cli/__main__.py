"""`python -m terraloom_engines.cli` is `terraloom`."""

from terraloom_engines.cli import main

main()
