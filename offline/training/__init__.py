"""From clips or live windows to trained networks, and the pack that holds them."""
