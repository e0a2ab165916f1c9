"""Replay without old data: the parent writes the text that is replayed (Marek et al. 2026, arXiv:2605.26097).

Who adapts a public model does not have what it was pre-trained on. What the model itself writes, sampled at temperature
1, follows the distribution that it learned, so that replaying it holds what it knew nearly as well as old data would.
Each token is a draw of what it says in full: `alone` in model/training/distillation.py puts that in the tokens' place.

    prompts    what a row begins with: BOS, or a chat template's opening of the user's turn
    draw       one token a row from logits
    rows       many rows at once, with a KV cache
    quality    which rows are loops or empty
    writing    blocks of documents, each a pure function of parent, settings and number
    source     the written text as a source of documents
"""
