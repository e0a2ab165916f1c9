"""Decoders of other families than our own Llama, computed by transformers behind the interface of `CausalLM`.

    names     which families: an allow-list of model_type (pure)
    config    config.json through a filter of our own: no code, only keys that the family declares (pure)
    decoder   the model itself; imports transformers when one is first made
    tiny      a tiny random model of each family, for tests and for the table
    reference what transformers makes of a folder, with none of our code between

`python -m model.cli.families` prints the table: each family read, compared with transformers, packed, adapted, written.
"""
