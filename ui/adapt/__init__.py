"""Adapting a real pre-trained model: SmolLM2-135M-Instruct learns arithmetic, arm by arm, through a running stack."""
