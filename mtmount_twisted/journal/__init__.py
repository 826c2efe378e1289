"""The journal, an SQLite file: the recorder, its writer thread, and the reader.

`recorder` accepts rows in the reactor's thread and never blocks. `writer` writes them in a thread of its own,
through `file`. `retention` selects the rows that are too old, and `limited` bounds the rows of clients
without rights. `reading` reads the file, also while the daemon writes it. `checking` decides if a file can be
trusted. `schema` defines the tables and the words in them. Only threads touch the disk. Next to read:
`schema`.
"""
