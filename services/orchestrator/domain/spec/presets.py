"""The model's presets as a spec may name them."""

from collections.abc import Mapping

# Presets of model/nn/config.py with their context in tokens. The domain may not import the model, so the names are data
# here; a test holds them equal to the model's.
PRESETS: Mapping[str, int] = {
    "nano": 256,
    "micro": 256,
    "small": 256,
    "135m": 2048,
    "360m": 2048,
    "1b": 8192,
    "7b": 4096,
}
