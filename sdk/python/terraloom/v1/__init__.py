"""The wire contract, generated from proto/terraloom/v1 by `make proto`."""
