#!/usr/bin/env python3
"""Loads what `reformer export` wrote, and computes the held-out loss with the library.

    tests/golden/check_export.py FOLDER [TEXT BEGIN END LENGTH LOSS [BYTE_OFFSET]]

Fails when a weight is missing, left over or of another shape; and, if the rest is given, when the loss of
the bytes [BEGIN, END) of TEXT, in sequences of LENGTH that overlap by one byte, is not LOSS, give or take
TOLERANCE (from the environment, 1e-4 otherwise). Byte b is token BYTE_OFFSET + b.
"""

import os
import sys

import torch
from torch.nn.functional import cross_entropy
from transformers import ReformerModelWithLMHead

KEYS = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")


def load(folder):
    model, report = ReformerModelWithLMHead.from_pretrained(
        folder, torch_dtype=torch.float32, output_loading_info=True)
    # The library ties a second name to the bias of the head.
    wrong = {key: [name for name in report[key] if name != "lm_head.decoder.bias"] for key in KEYS}
    if any(wrong.values()):
        sys.exit(f"{folder}: {wrong}")
    return model.eval()


def held_out_loss(model, text, length, byte_offset):
    total, count = 0.0, 0
    with torch.no_grad():
        for begin in range(0, len(text) - 1, length):
            window = torch.tensor([list(text[begin:begin + length + 1])]) + byte_offset
            logits = model(input_ids=window[:, :length]).logits[0, :window.shape[1] - 1]
            total += cross_entropy(logits, window[0, 1:], reduction="sum").item()
            count += window.shape[1] - 1
    return total / count


def main():
    model = load(sys.argv[1])
    if len(sys.argv) == 2:
        return
    path, begin, end, length = sys.argv[2], *map(int, sys.argv[3:6])
    with open(path, "rb") as file:
        text = file.read()[begin:end]
    byte_offset = int(sys.argv[7]) if len(sys.argv) > 7 else 0
    loss, expected = held_out_loss(model, text, length, byte_offset), float(sys.argv[6])
    print(f"held-out loss {loss:.4f} here, {expected:.4f} there")
    if abs(loss - expected) > float(os.environ.get("TOLERANCE", "1e-4")):
        sys.exit("the losses differ")


if __name__ == "__main__":
    main()
