"""How fast it is: engines side by side, a live session, and how many streams a machine carries."""
