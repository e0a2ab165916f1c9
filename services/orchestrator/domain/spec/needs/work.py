"""Floating-point operations of training, by the usual counting: two for each weight of a matrix product and token.

A forward pass takes 2 M + 2 L T Q a token (M weights of matrix products, the output's among them; the second term is
attention's, whose causal half of T positions is computed twice, for scores and for sums). A backward pass takes twice
that (Kaplan et al. 2020, arXiv:2001.08361, section 2.1; Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
Weights that do not train need no gradient of their own: with adapters the backward pass takes as much as the forward
one. Activation checkpointing repeats the forward pass, and a parent that is asked computes one on replayed tokens.
"""

from services.orchestrator.domain.spec.needs.shape import Shape


def forward_flops(shape: Shape) -> float:
    """Of one token."""
    sizes = shape.sizes
    products = sizes.used_by_a_token + sizes.vocabulary * sizes.width
    return 2.0 * products + 2.0 * sizes.layers * shape.context * sizes.heads * sizes.width_of_head


def sampling_flops(shape: Shape, tokens: int) -> float:
    """Of writing so many tokens: a forward pass of each, with what was read before it kept."""
    return tokens * forward_flops(shape)


def training_flops(shape: Shape, tokens: int, *, replayed: float) -> float:
    """Of a stage of so many tokens, of which the share `replayed` is old text."""
    passes = (2.0 if shape.adapters else 3.0) + (1.0 if shape.checkpointing else 0.0)
    return tokens * forward_flops(shape) * (passes + (replayed if shape.asked else 0.0))
