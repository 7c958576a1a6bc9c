"""Labelled streams: how right the live path is on them, and what its decision learns of them."""
