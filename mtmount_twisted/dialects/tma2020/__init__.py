"""The protocol of 2020: text lines of fields, over two one-way connections.

`enums`, `commands`, `replies` name everything; `framing` and `codec` turn lines into messages and back;
`envelope` reads and rewrites the header alone. Pure: no Twisted, no I/O.
"""
