"""The message model: fields, messages, TAI. No Twisted, no I/O.

`fields` is one value and its text, `messages` a class of named fields. Code for each class is made once, by
`compiled`. The messages themselves stand in `dialects`.
"""
