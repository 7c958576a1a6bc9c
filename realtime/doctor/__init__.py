"""`breath-live doctor`: what is there, what works, and what to mend."""
