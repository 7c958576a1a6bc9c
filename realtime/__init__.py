"""The live path: sound in, breath events out."""
