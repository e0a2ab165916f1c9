"""Memory of one worker at the peak of training, counted before it begins.

In bytes, P parameters of which P_t train, N tokens of a micro-batch, E width, Q and K widths of queries and of keys,
F inner width, D size of a head, H heads, V vocabulary, T context, L layers:

    weights       4 P, in float32
    gradients     4 P_t, in one buffer
    moments       8 P_t, AdamW's two (Loshchilov and Hutter 2019, arXiv:1711.05101)
    copies        4 P + 8 P_t at a boundary, in main memory, while the checkpoint is written
    parent        4 P for each copy that a stage holds on to (its teacher, penalties)
    activations   what the backward pass reads, counted by what autograd saves (a test counts the same on real models):
                  a token of a layer 4 (4 E + 2 Q + 2 K + 4 F + D + H + 2) by the kernels of a CPU; 4 (6 E + 2 Q + 2 K
                  + 4 F + H + 2) by plain modules; with bf16 16 E + 2 (5 E + 2 Q + 2 K + 4 F) + 4 H. Packed rows add
                  4 T (their mask), the seven adapters 28 rank. Beside the layers 12 E a token and, where the head
                  trains, 4 V E (bf16: 2). Attention keeps no matrix of scores (Dao et al. 2022, arXiv:2205.14135). With
                  activation checkpointing (Chen et al. 2016, arXiv:1604.06174) a layer keeps its input, and one layer
                  is whole at a time. The way of counting is that of Korthikanti et al. 2022, arXiv:2205.05198.
                  Other families than Llama keep other multiples (domain/spec/families), as counted in the same way.
    working       what exists for a moment at the peak: the loss's slices of logits, or the gradients inside one layer
    runtime       the process with its libraries, before it has a model

On several GPUs whose stage holds no parent and trains every weight, weights, gradients and moments are in pieces (ZeRO,
Rajbhandari et al. 2020, arXiv:1910.02054), with one layer whole at a time.

`python -m tests.benchmarks.bench_plan` trains small models and prints what was counted beside what they took.
"""

from retain.values import MemoryEstimate
from services.orchestrator.domain.spec.model_size import Sizes
from services.orchestrator.domain.spec.needs.shape import Shape

CHUNK_TOKENS = 256  # of model/nn/losses.py: slices in which the loss makes logits
RUNTIME_BYTES = 530_000_000  # a worker with torch, Ray and gRPC, and what its first step on a CPU makes (as measured)
GPU_RUNTIME_BYTES = 1_000_000_000  # a CUDA context with its libraries
LORA_RUNTIME_BYTES = 120_000_000  # peft and what it imports
# On a CPU memory that is freed is kept (model/training/malloc.py), and part of it is in pieces that nothing fits into.
# Measured, as parts of the activations: what a step takes beside them by the kernels of a CPU and by plain modules
# (here with adapters), and what the copies for a checkpoint cannot use of memory whose activations are gone.
FRAGMENTS_OF_KERNELS, FRAGMENTS_OF_MODULES, LOST_TO_COPIES = 0.1, 0.8, 0.4


def memory_of(shape: Shape, *, runtime_bytes: int | None = None) -> MemoryEstimate:
    """The peak of one worker, by what it is for. `total` is that of the device, less than the sum where two parts never
    exist together; `host` is main memory beside a GPU, 0 on a CPU. `runtime_bytes`: measured, in place of the usual."""
    parameters, trained = shape.sizes.parameters, shape.trained
    pieces = shape.workers if shape.sharded else 1
    weights, gradients, moments = (each // pieces for each in (4 * parameters, 4 * trained, 8 * trained))
    if shape.sharded:  # a layer, or the embeddings, whole beside the pieces
        weights += 4 * max(shape.sizes.of_layer, shape.sizes.embeddings)
    copies = 4 * parameters + 8 * trained + (4 * trained if shape.adapters else 0)
    parent = 4 * parameters * shape.held
    activations = activation_bytes(shape) + working_bytes(shape)
    usual = RUNTIME_BYTES + (LORA_RUNTIME_BYTES if shape.adapters else 0)
    process = usual if runtime_bytes is None else runtime_bytes
    stays = weights + gradients + moments + parent
    if shape.gpu:
        runtime, host = GPU_RUNTIME_BYTES, process + copies
        total = stays + activations + runtime
    else:
        runtime, host = process, 0
        lost = int((FRAGMENTS_OF_KERNELS if shape.fused else FRAGMENTS_OF_MODULES) * activations)
        step = activations + lost
        boundary = copies + (step if shape.overlapping else int(LOST_TO_COPIES * activations))
        total = stays + runtime + max(step, boundary)
    return MemoryEstimate(
        weights_bytes=weights,
        gradients_bytes=gradients,
        moments_bytes=moments,
        copies_bytes=copies,
        parent_bytes=parent,
        activations_bytes=activations,
        runtime_bytes=runtime,
        total_bytes=total,
        host_bytes=host,
    )


def activation_bytes(shape: Shape) -> int:
    """What the forward pass of a micro-batch keeps for the backward pass."""
    sizes, tokens = shape.sizes, shape.tokens
    layer = tokens * _bytes_a_token(shape) + _weights_kept(shape)
    layers = sizes.layers * (4 * tokens * sizes.width) + layer if shape.checkpointing else sizes.layers * layer
    number = 2 if shape.bf16 else 4
    head = 0 if shape.adapters else number * sizes.vocabulary * sizes.width
    return layers + tokens * (8 + number) * sizes.width + head


def working_bytes(shape: Shape) -> int:
    """What exists for a moment while all activations do: slices of logits in the loss, or a layer's own gradients."""
    sizes, tokens = shape.sizes, shape.tokens
    slices = (6 if shape.asked else 3) * 4 * min(CHUNK_TOKENS, tokens) * sizes.vocabulary
    head = 0 if shape.adapters else 4 * sizes.vocabulary * sizes.width  # scaled, beside the one that is kept
    of_weights = 0 if shape.adapters else 3 * sizes.width * sizes.ffn_width
    layer = 4 * (tokens * (2 * sizes.ffn_width + 4 * sizes.width) + of_weights) + head
    parent = 4 * tokens * (4 * sizes.ffn_width + 3 * sizes.width) if shape.asked else 0  # a layer of it, and its word
    return max(slices, layer) + parent


def _bytes_a_token(shape: Shape) -> int:
    """Of one layer, see the module. Another family keeps more or less than Llama, in this part of what Llama keeps."""
    sizes = shape.sizes
    width, inner, heads = sizes.width, sizes.ffn_width, sizes.heads
    query, keys = heads * sizes.width_of_head, sizes.kv_heads * sizes.width_of_head
    if shape.bf16:
        kept = 16 * width + 2 * (5 * width + 2 * query + 2 * keys + 4 * inner) + 4 * heads + 8
    elif shape.fused:
        kept = 4 * (4 * width + 2 * query + 2 * keys + 4 * inner + sizes.width_of_head + heads + 2)
    else:
        norms = 4 if shape.adapters else 6  # a norm whose gain does not train keeps less
        kept = 4 * (norms * width + 2 * query + 2 * keys + 4 * inner + heads + 2)
    number = 2 if shape.bf16 else 4
    if sizes.family:
        kept = int(kept * sizes.kept_of_a_token(shape.context) / Sizes.kept_of_a_token(sizes, shape.context))
    return kept + (number * shape.context if shape.packed else 0) + 7 * number * shape.adapters


def _weights_kept(shape: Shape) -> int:
    """Copies of a layer's matrices that the backward pass reads: queries and keys in another order, or all in bf16."""
    sizes = shape.sizes
    if shape.bf16:
        return 2 * sizes.of_layer
    ordered = (sizes.heads + sizes.kv_heads) * sizes.width_of_head * sizes.width
    return 4 * ordered if shape.fused else 0
