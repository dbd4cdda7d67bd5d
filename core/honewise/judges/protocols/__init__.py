"""The ways of asking: each a small class that words the question, reads the reply, and is called with a judge."""
