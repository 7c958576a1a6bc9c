"""Spliced, labelled breath streams from the un-looped clips of one recording day."""
