"""A model folder as one GGUF file, which llama.cpp and what is built on it read.

    architectures  which families can be written, under which keys, and how their weights are turned (pure)
    vocabulary     the tokenizer: tokens, merges or scores, and the name of its pre-tokenizer (pure)
    rope           settings of rotary positions
    file           the file itself, by the `gguf` package

Only what was read back here with equal logits is written: see `architectures`. All else is refused by name.
"""
