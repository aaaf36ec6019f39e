"""What a model says as Hugging Face has it, before TransformerLens wraps or converts it.

TransformerLens does not know every option of every family's configuration: biases, scaled rotary positions or unscaled
attention may be left out without a word, and all maps would be of another model. A few tokens show it, but not what
differs only beyond them, such as a longer sliding window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interp.errors import InputError

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int

N_TOKENS = 16
MOST_DIVERGENCE = 1e-5
"""In nats, the mean over the tokens: many times what adding up in another order does in single precision."""
MOST_IN_HALF_PRECISION = 0.1
"""The same where numbers have eight bits, or eleven."""


@dataclass(frozen=True)
class OriginalOutput:
    """The log-probabilities of a model after each of some tokens, on the CPU."""

    tokens: Int[torch.Tensor, "batch pos"]
    log_probabilities: Float[torch.Tensor, "pos vocab"]
    is_single: bool
    """Whether the model computes in single precision, or double."""

    @classmethod
    def of(cls, original: Any) -> OriginalOutput:
        """Run Hugging Face's model on a sequence from all over its vocabulary, where its embeddings are."""
        import torch

        embedding = original.get_input_embeddings().weight
        tokens = torch.linspace(1, len(embedding) - 1, N_TOKENS).long()[None]
        # Buffers that are made in a first pass, and in inference mode, could not be differentiated through later.
        with torch.no_grad():
            logits: torch.Tensor = original(tokens.to(embedding.device)).logits
        return cls(tokens, _log_probabilities(logits), torch.finfo(logits.dtype).bits >= 32)

    def require_of(self, model: Any) -> None:
        """Raise an `InputError` if a model with hooks says something else; a model that says no numbers passes."""
        import torch

        with torch.no_grad():
            logits: torch.Tensor = model(self.tokens.to(model.cfg.device), return_type="logits")
        ours, own = _log_probabilities(logits), self.log_probabilities
        divergence = float((own.exp() * (own - ours)).nansum(-1).mean())
        most = MOST_DIVERGENCE if self.is_single else MOST_IN_HALF_PRECISION
        if divergence > most:
            raise InputError(
                f"through {type(model).__name__} this model does not say what it says in transformers (a divergence of "
                f"{divergence:.2g} nats, where rounding explains {most:g}): something in its config.json is not known "
                "there; take another --backend or another model"
            )


def _log_probabilities(logits: Float[torch.Tensor, "batch pos vocab"]) -> Float[torch.Tensor, "pos vocab"]:
    log_probabilities: torch.Tensor = logits[0].cpu().double().log_softmax(-1)
    return log_probabilities
