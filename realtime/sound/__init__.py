"""Sound in: microphones, recordings and the demo breather, as sources of blocks."""
