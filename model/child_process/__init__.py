"""Work on foreign data in a process of its own, within bounds: memory, time without progress, and what it can see.

A file, a regular expression of a tokenizer or a chat template may hang or end the process that looks at it, in C or
Rust where no exception comes out. So whatever is foreign is read and encoded by a child, and only plain data is
returned:
    model.child_process.process   the parent's side: starts the child, waits for it, says how it ended
    model.child_process.child     the child's side: sets its own bounds, answers one request after another
    model.child_process.frames    what goes over the pipes: a JSON header and bytes; nothing is ever unpickled
"""
