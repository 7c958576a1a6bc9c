"""The only feature code in the project: nine images and 39 scalars from one window (batched torch)."""
