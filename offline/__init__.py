"""The workshop: labelled clips in, model packs out."""
