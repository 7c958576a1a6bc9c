"""`breath-live serve`: the live path on a web page, over a WebSocket and HTTP. Needs the extra `serve`."""
