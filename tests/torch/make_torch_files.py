#!/usr/bin/env python3
"""Writes the files of this folder, which torch_file_test and import_test.sh read.

    tests/torch/make_torch_files.py        needs torch and transformers 4

`archive.bin` and `old.bin` hold the same tensors in the two forms that torch.save has had; the other
.bin files hold what must be refused; `model` is a small Reformer, saved as its library does.
"""

import os
import pathlib

import torch
from transformers import ReformerConfig, ReformerModelWithLMHead

FOLDER = pathlib.Path(__file__).parent


class Command:
    def __reduce__(self):
        return os.system, ("echo this must never be printed",)


def tensors():
    rows = torch.arange(12, dtype=torch.float32).reshape(4, 3)
    halves = [1.0, -0.5, 2.0 ** -24, 65504.0]
    return {
        "whole": rows,
        "rows 1 and 2": rows[1:3],  # the same storage, with an offset
        "column of one": rows[1:2].t(),  # strides that an extent of 1 leaves open
        "parameter": torch.nn.Parameter(torch.tensor([0.25, -3.0])),
        "scalar": torch.tensor(7.5),
        "empty": torch.zeros(0, 4),
        "float64": torch.tensor(halves, dtype=torch.float64),
        "float16": torch.tensor(halves, dtype=torch.float16),
        "bfloat16": torch.tensor([1.0, -0.5, 2.0 ** -24, 65536.0], dtype=torch.bfloat16),
        "int64": torch.tensor([-3, 1 << 40]),
        "int32": torch.tensor([[-3, 1 << 30]], dtype=torch.int32),
        "uint8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
    }


def make_model():
    torch.manual_seed(1)
    config = ReformerConfig(
        attn_layers=["local", "lsh"], num_attention_heads=2, attention_head_size=4, hidden_size=8,
        feed_forward_size=8, vocab_size=258, lsh_attn_chunk_length=16, local_attn_chunk_length=16,
        num_hashes=2, num_buckets=[2, 4], axial_pos_shape=[8, 16], axial_pos_embds_dim=[3, 5],
        max_position_embeddings=128, is_decoder=True, local_attention_probs_dropout_prob=0.0)
    ReformerModelWithLMHead(config).save_pretrained(FOLDER / "model", safe_serialization=False)
    (FOLDER / "model" / "generation_config.json").unlink(missing_ok=True)


def main():
    torch.save(tensors(), FOLDER / "archive.bin")
    torch.save(tensors(), FOLDER / "old.bin", _use_new_zipfile_serialization=False)
    torch.save({"transposed": torch.zeros(2, 3).t()}, FOLDER / "not_contiguous.bin")
    torch.save({"model": tensors()}, FOLDER / "nested.bin")
    torch.save({"command": Command()}, FOLDER / "command.bin")
    torch.save({"t": torch.zeros(2)}, FOLDER / "protocol_4.bin", pickle_protocol=4)
    torch.save(torch.zeros(2), FOLDER / "tensor.bin")
    make_model()


if __name__ == "__main__":
    main()
