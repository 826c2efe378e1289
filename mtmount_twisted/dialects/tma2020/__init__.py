"""The protocol tma2020: text lines of fields, over two one-way connections.

`enums`, `commands` and `replies` define the messages. `framing` and `codec` convert lines to messages and
back. `envelope` reads and rewrites only the header of a line. Pure: no Twisted, no I/O. Next to read:
`dialect`.
"""
