"""The message model: fields, messages and TAI.

Nothing here imports Twisted, does I/O or knows a byte layout. `fields` converts one value to text and back.
`messages` defines a message as a class with named fields. `compiled` generates fast code for each class.
The message classes themselves are in `dialects`.

Next to read: `messages`, then `fields`.
"""
