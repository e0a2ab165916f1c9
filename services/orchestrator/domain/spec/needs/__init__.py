"""What a stage needs before it begins: memory, store, disk and operations, and whether a worker has that memory."""
