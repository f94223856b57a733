"""
Attention with fewer key heads than query heads: one function over PyTorch's kernels or flash-attn.

Queries, keys, values go in, mixed values come out. It knows neither caches nor positions: decoder
and vision encoder call attend(), load_model() asks flash_kernel() which kernels there are.

Letters: B rows, T queries, L keys, H query heads, Hkv key/value heads, G = H / Hkv, K channels of
a head.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch
from torch.nn import functional as F

ATTENTION_NAMES = ('auto', 'sdpa', 'flash')
# flash-attn 2 has kernels for Ampere and newer.
_MIN_CUDA_CAPABILITY = 8


def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor,
           mask: torch.Tensor | None = None, is_causal: bool = False,
           flash: Callable[..., torch.Tensor] | None = None) -> torch.Tensor:
    """
    Attend from query [B, H, T, K] to keys and values [B, Hkv, L, K]; return [B, T, H * K].

    mask is bool, True where visible: [B, 1, T, L], or [G * T, L] with a row for each query head
    that shares a key head. is_causal says that the last query sees all keys and each one before it
    one less; where 1 < T < L it must come with the mask that says the same. flash is flash-attn's
    function, which knows causal, but no other masks; those are PyTorch's in any case.
    """
    num_rows, num_heads, length, head_dim = query.shape
    if flash is not None and (mask is None or is_causal):
        attended = flash(query.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2),
                         causal=is_causal)  # [B, T, H, K]
        return attended.reshape(num_rows, length, num_heads * head_dim)
    num_kv_heads = keys.shape[1]
    folded = num_heads != num_kv_heads and (length == 1 if mask is None else mask.dim() == 2)
    if folded:
        # The query heads of a key head become further queries of it: no kernel has to repeat the
        # cached heads, which some do for grouped heads with a mask.
        query = query.reshape(num_rows, num_kv_heads, -1, head_dim)
    attended = F.scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, is_causal=is_causal and mask is None and length > 1,
        enable_gqa=num_heads != num_kv_heads and not folded)
    attended = attended.reshape(num_rows, num_heads, length, head_dim)
    return attended.transpose(1, 2).reshape(num_rows, length, num_heads * head_dim)


def flash_kernel(attention: str, device: torch.device,
                 dtype: torch.dtype) -> Callable[..., torch.Tensor] | None:
    """
    Return flash-attn's function where attention asks for it, None for PyTorch's own kernels.

    'auto' takes it where it can be had, 'sdpa' never. Raises ValueError for 'flash' where it can
    not be had, with the reason and the way out, and for unknown names.
    """
    if attention not in ATTENTION_NAMES:
        raise ValueError(f'attention is {attention!r}; allowed: {", ".join(ATTENTION_NAMES)}')
    if attention == 'sdpa':
        return None
    obstacle = _obstacle(device, dtype)
    if obstacle is None:
        try:
            return import_module('flash_attn').flash_attn_func
        except (ImportError, AttributeError) as error:
            obstacle = (f'flash-attn can not be imported ({error}): install it with "pip install '
                        f'flash-attn --no-build-isolation", which needs a CUDA compiler, or use '
                        f'attention=sdpa')
    if attention == 'flash':
        raise ValueError(f"attention is 'flash', but {obstacle}")
    return None


def _obstacle(device, dtype):
    """Return why flash-attn can not run there, and the way out; None where it can."""
    if device.type != 'cuda':
        return (f'flash-attn needs a CUDA device and the model goes to {str(device)!r}: use '
                f'device=cuda or attention=sdpa')
    if dtype not in (torch.bfloat16, torch.float16):
        return (f'flash-attn does not compute in {str(dtype)[6:]}: use dtype=bfloat16 or '
                f'attention=sdpa')
    major, minor = torch.cuda.get_device_capability(device)
    if major < _MIN_CUDA_CAPABILITY:
        return (f'flash-attn needs compute capability {_MIN_CUDA_CAPABILITY}.0 and this GPU has '
                f'{major}.{minor}: use attention=sdpa')
    return None
