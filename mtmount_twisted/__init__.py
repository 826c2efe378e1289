"""Talk to a telescope mount from Twisted."""
