"""What the daemon records, in a SQLite file: the recorder, its writer thread, and the reader.

`recorder` takes rows on the reactor's side and never waits. `writer` is the thread that writes them through
`file`; `retention` says which rows are too old, `limited` bounds rows of clients without rights. `reading`
reads the file, also while the daemon writes; `checking` says what a file must be before it is trusted. The
tables and the words in them stand in `schema`. May touch the disk, in threads only.
"""
