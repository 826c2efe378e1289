"""The protocols, one at a time: messages, and how their bytes are read and written."""
