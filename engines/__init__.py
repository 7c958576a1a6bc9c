"""The leaf: one window's tensors in, one probability out."""
