#!/usr/bin/env python3
"""Saves a small Reformer of Hugging Face's library, with weights that make a difference.

    tests/golden/make_reformer.py FOLDER LAYERS FORM

LAYERS is a list such as local,lsh; FORM is safetensors, bin (torch.save), old (torch.save before 1.6)
or float16 (bin with halves).
"""

import pathlib
import sys

import torch
from transformers import ReformerConfig, ReformerModelWithLMHead


def main():
    folder, layers, form = pathlib.Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3]
    torch.manual_seed(5)
    model = ReformerModelWithLMHead(ReformerConfig(
        attn_layers=layers, num_attention_heads=2, attention_head_size=24, hidden_size=32,
        feed_forward_size=80, vocab_size=258, hidden_act="gelu", layer_norm_eps=1e-5,
        lsh_attn_chunk_length=16, local_attn_chunk_length=32, num_hashes=8, num_buckets=[2, 4],
        axial_pos_shape=[8, 16], axial_pos_embds_dim=[8, 24], max_position_embeddings=128,
        is_decoder=True))
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.2 * torch.randn_like(weight)
    if form == "float16":
        model = model.half()
    model.save_pretrained(folder, safe_serialization=form == "safetensors")
    if form == "old":
        torch.save(model.state_dict(), folder / "pytorch_model.bin",
                   _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
