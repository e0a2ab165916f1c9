"""Trains the byte-level BPE of a preset.

Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) starts from single bytes and again and again joins the
commonest pair, until the vocabulary is full; starting from bytes (GPT-2, Radford et al. 2019), no text is unknown.
"""

from collections.abc import Iterable

from tokenizers import Regex, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

from model.errors import BadConfig, BadSource
from model.tokenization.long_words import ShortWords
from model.tokenization.special_tokens import BOS, SPECIAL_TOKENS

SMALLEST_VOCABULARY = 256 + len(SPECIAL_TOKENS)


def check_vocabulary(vocab_size: int) -> None:
    """Raises BadConfig for a vocabulary that does not hold every byte and the special tokens."""
    if vocab_size < SMALLEST_VOCABULARY:
        raise BadConfig("tokenizer.vocab_size", vocab_size, f"at least {SMALLEST_VOCABULARY}")


def train_backend(
    texts: Iterable[str], vocab_size: int, *, min_frequency: int = 2, show_progress: bool = False
) -> Backend:
    """Train a byte-level BPE; see `Tokenizer.train_bpe`. Raises BadConfig and BadSource as that does."""
    check_vocabulary(vocab_size)
    words = texts if isinstance(texts, ShortWords) else ShortWords(texts)
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=True),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=show_progress,
    )
    backend.train_from_iterator(iter(words), trainer)
    if not words.characters:
        raise BadSource("tokenizer.train", "no text", "at least one character of training text")
    backend.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{BOS} $A", special_tokens=[(BOS, backend.token_to_id(BOS))], pair=f"{BOS} $A $B"
            ),
        ]
    )
    return backend
