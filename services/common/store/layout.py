"""Names in the store that one service writes and another looks for. The torch core, which imports no service, has its
own names for the same files (model/checkpointing/checkpoint.py, model/data/shards.py); a test holds them together."""

MANIFEST = "manifest.json"  # of a checkpoint
META = "meta.json"  # of prepared data and of an evaluation set
TOKENIZER = "tokenizer.json"
# Each is written last of its folder, and deleted first: without it the rest passes for nothing.
MARKERS = (MANIFEST, META, TOKENIZER)
DAMAGED = ".damaged"  # beside the files of prepared data: they are broken, whoever prepares next writes them again
