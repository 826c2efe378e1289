"""Live events: a ring in memory, the streams that read it, and how a stream catches up."""
