"""Labelled recordings into a clip set."""
