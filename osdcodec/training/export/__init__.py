"""A trained model -> one weights file, and the weights.toml that lists it."""
