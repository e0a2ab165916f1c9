"""The version of this client, as the package says it."""

import retain

VERSION: str = retain.__version__
