"""Live events: a ring in memory, the streams that read it, and how a stream catches up.

The folder reads the records of the bridge, and decides nothing. Next to read: `ring`, the memory; `streams`,
its readers.
"""
