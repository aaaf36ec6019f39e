"""Sites: places within a block of a transformer, by one name for every family of models.

==============  =====================================================  ===========================================
site            activation                                             width
==============  =====================================================  ===========================================
``resid_pre``   the residual stream before the block                   d_model
``resid_mid``   between attention and MLP                              d_model; not where both read the same stream
``resid_post``  after the block                                        d_model
``attn_out``    what attention adds to the residual stream             d_model
``mlp_out``     what the MLP adds to it, all experts together          d_model
``mlp_hidden``  the MLP's hidden layer, after its nonlinearity         d_mlp; not with a mixture of experts
``head_z``      what each head reads off before its output matrix      n_heads × d_head, head by head
==============  =====================================================  ===========================================

``attn_out`` and ``mlp_out`` are contributions, in every family: after the norm that follows attention and MLP in
Gemma 2, Gemma 3 and OLMo 2. Therefore always ``resid_post = resid_pre + attn_out + mlp_out``, with ``resid_mid =
resid_pre + attn_out`` between them where the MLP reads what attention has written, and nothing between them where it
does not (GPT-NeoX, Phi). Any other hook of a block goes by TransformerLens's own name for it, such as ``attn.hook_q``
or ``ln1.hook_normalized``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from interp.errors import InputError, first_line, unknown_name
from interp.models.hooked_model import HookedModel, padded, run_until

HOOKS = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "mlp_hidden": "mlp.hook_post",
    "head_z": "attn.hook_z",
}
"""The hook of each site within its block."""
SITES = tuple(HOOKS)
AFTER_ATTENTION = ("resid_mid", "resid_post", "attn_out", "mlp_out", "mlp_hidden", "head_z")
"""Sites that come after a block's attention has looked at other tokens."""


def own_copy(activation: torch.Tensor, site: str) -> torch.Tensor:
    """What a hook may write into in place to change what goes on from a site, and nothing else.

    The tensor itself at the sites of `HOOKS`, by either name: where the residual stream is shown on its way into a norm
    (``resid_mid``), what is added to it after the MLP is the same tensor. Other hooks of TransformerLens's may show a
    tensor that other modules read too, and a norm takes another tensor alone for a change.
    """
    return activation if site in {*HOOKS, *HOOKS.values()} else activation.clone()


def hook_names(model: HookedModel, site: str) -> list[str]:
    """The hook of a site in each block, from the first to the last.

    Raises
    ------
    InputError
        If the model has no such site, or not in every block.
    """
    within = HOOKS.get(site, site)
    blocks = range(model.cfg.n_layers)
    names = [f"blocks.{block}.{within}" for block in blocks]
    why = _why_not(model, site)
    if why is not None:
        raise InputError(f"this model has no {site}: {why}")
    hooks = model.hook_dict  # Which a bridge makes anew each time it is asked for.
    absent = [block for block, name in zip(blocks, names, strict=True) if name not in hooks]
    if len(absent) == len(names):
        if site in HOOKS:
            there = [each for each, hook in HOOKS.items() if f"blocks.0.{hook}" in hooks]
            raise InputError(f"this model has no {site} in any block; take {', '.join(there)}")
        known = {name.removeprefix("blocks.0.") for name in hooks if name.startswith("blocks.0.")}
        raise unknown_name("site", site, {*SITES, *known}, "Or give a hook of a block by TransformerLens's name")
    if absent:
        raise InputError(
            f"this model has no {site} in the blocks {', '.join(map(str, absent))}; take a site that all blocks have"
        )
    return names


def require_by_token(model: HookedModel, site: str, tokens: Sequence[int] = (0, 0)) -> None:
    """Raise an `InputError` if a site's hook is not there, is never called, or has no vector for each of some tokens.

    The hooks of `SITES` that a model has are known to; of others, such as attention patterns, the two first axes are
    looked at.
    """
    name = hook_names(model, site)[0]
    for some in () if site in SITES else (tokens, tokens[:1]):  # Of two lengths: one may be the number of heads.
        shape: list[int] = []
        keep = {name: lambda each, to=shape: to.extend(each.shape)}
        try:
            run_until(model, padded([some, some]).to(model.cfg.device), keep)
        except InputError:
            raise
        except ValueError as error:  # TransformerLens's, for a hook that it computes only if it is told to.
            raise InputError(
                f"this model does not show its {site}: {first_line(error)}; take another --site"
            ) from error
        if shape[:2] != [2, len(some)] or len(shape) < 3:
            raise InputError(
                f"this model's {site} is of the shape {tuple(shape)} for two runs of {len(some)} token(s): it has no "
                f"vector of its own for each of them; take one of {', '.join(SITES)}, or another hook of a block"
            )


def is_after_attention(site: str) -> bool:
    """Whether what is at a token's site reaches other tokens in later blocks at the earliest; False if not known."""
    return HOOKS.get(site, site) in {HOOKS[each] for each in AFTER_ATTENTION}


def _why_not(model: HookedModel, site: str) -> str | None:
    """Why a family does not have one of `SITES`, and what to take instead."""
    if site == "resid_mid" and getattr(model.cfg, "parallel_attn_mlp", False):
        return "its attention and MLP read the same stream; take resid_pre, resid_post, attn_out or mlp_out"
    if site == "mlp_hidden" and getattr(model.cfg, "num_experts", None):
        return "each of its experts has a hidden layer of its own; take mlp_out"
    return None
