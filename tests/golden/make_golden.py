#!/usr/bin/env python3
"""Makes the goldens beside this file from Hugging Face's Reformer, or checks them against it.

    pip install torch "transformers==4.57.*" safetensors
    tests/golden/make_golden.py            writes tests/golden/*.safetensors
    tests/golden/make_golden.py --check    computes them again and compares

README.md says what the files hold and what is left out.
"""

import argparse
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import ReformerConfig, ReformerModelWithLMHead

LENGTH = 128
BATCH = 2
VOCABULARY = 40
ADAM_STEPS = 10
ADAM = {"lr": 1e-3, "betas": (0.9, 0.98), "eps": 1e-9}

# name: (attention layers, hash rounds, buckets, padded)
CASES = {
    "lsh_1_round": (["lsh"], 1, 8, False),
    "lsh_4_rounds": (["lsh"], 4, 8, False),
    "lsh_factored": (["lsh"], 2, [2, 4], False),
    "local": (["local"], 1, 8, False),
    "mixed": (["local", "lsh", "local"], 2, 8, False),
    "padded": (["local", "lsh"], 2, 8, True),
}


def make_model(layers, rounds, buckets):
    """A small model whose weights are large enough for every term to matter."""
    config = ReformerConfig(
        attn_layers=layers, num_hashes=rounds, num_buckets=buckets, vocab_size=VOCABULARY,
        hidden_size=32, feed_forward_size=48, num_attention_heads=2, attention_head_size=16,
        axial_pos_shape=[8, 16], axial_pos_embds_dim=[8, 24], max_position_embeddings=LENGTH,
        lsh_attn_chunk_length=16, local_attn_chunk_length=16, layer_norm_eps=1e-5,
        hidden_act="relu", is_decoder=True, use_cache=False,
        hidden_dropout_prob=0.0, lsh_attention_probs_dropout_prob=0.0,
        local_attention_probs_dropout_prob=0.0)
    model = ReformerModelWithLMHead(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "layer_norm.weight" in name:
                weight.normal_(1.0, 0.1)
            elif name.endswith("bias"):
                weight.normal_(0.0, 0.1)
            elif "embeddings" in name:
                weight.normal_(0.0, 0.7)
            else:
                weight.normal_(0.0, weight.shape[1] ** -0.5)
    # The reversible backward pass wants training mode; dropout is 0.
    return model.double().train()


class Rotations:
    """Records the random rotations that the model draws, in the order of its LSH layers, and gives
    it what Float32 can hold of them; or replays those of `given`. (The library seeds itself from the
    clock, so the same seed does not give the same rotations.)"""

    def __init__(self, step, given):
        self.step = step
        self.given = given
        self.drawn = []

    def __enter__(self):
        self.randn = torch.randn

        def recording(*shape, **options):
            values = self.randn(*shape, **options)
            if values.dim() == 4:  # heads, head size, rounds, columns
                name = f"rotations/{self.step}/{len(self.drawn)}"
                self.drawn.append(self.given[name] if self.given else values.float())
                return self.drawn[-1].double()
            return values

        torch.randn = recording
        return self

    def __exit__(self, *_):
        torch.randn = self.randn


def loss_of(model, tokens, mask):
    logits = model(input_ids=tokens, attention_mask=mask).logits
    labels = tokens[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
    return logits, cross_entropy(logits[:, :-1].reshape(-1, VOCABULARY), labels.reshape(-1))


def make_case(name, given=None):
    """All tensors of a golden; from the weights, tokens and rotations of `given`, if there is one."""
    layers, rounds, buckets, padded = CASES[name]
    torch.manual_seed(sum(name.encode()))
    torch.use_deterministic_algorithms(True)
    model = make_model(layers, rounds, buckets)
    tokens = torch.randint(0, VOCABULARY, (BATCH, LENGTH))
    mask = torch.ones_like(tokens)
    if padded:
        mask[0, 101:] = 0
        mask[1, 77:] = 0
    if given:
        tokens = given["tokens"].long()
        with torch.no_grad():
            for key, weight in model.named_parameters():
                weight.copy_(given[f"weight/{key}"])
    golden = {f"weight/{key}": value.detach().float() for key, value in model.named_parameters()}
    golden["tokens"] = tokens.to(torch.int32)
    golden["mask"] = mask.to(torch.uint8)

    optimizer = torch.optim.Adam(model.parameters(), **ADAM)
    losses = []
    for step in range(ADAM_STEPS):
        optimizer.zero_grad()
        with Rotations(step, given) as rotations:
            logits, loss = loss_of(model, tokens, mask)
        loss.backward()
        for index, values in enumerate(rotations.drawn):
            golden[f"rotations/{step}/{index}"] = values
        if step == 0:
            golden["logits"] = logits.detach().float()
            for key, weight in model.named_parameters():
                golden[f"gradient/{key}"] = weight.grad.float()
        losses.append(loss.item())
        optimizer.step()
    golden["losses"] = torch.tensor(losses, dtype=torch.float64)
    return {key: value.contiguous() for key, value in golden.items()}


def worst_error(a, b):
    """Largest difference over all tensors, relative to the largest value of each."""
    if a.keys() != b.keys():
        return float("inf")
    return max(((a[key].double() - b[key].double()).abs().max()
                / b[key].double().abs().max().clamp(min=1e-30)).item() for key in a)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="compare instead of writing")
    check = arguments.parse_args().check
    folder = pathlib.Path(__file__).parent
    torch.set_num_threads(1)
    failed = False
    for name in CASES:
        path = folder / f"{name}.safetensors"
        if not check:
            save_file(make_case(name), path)
            print(f"{path.name}: {path.stat().st_size} bytes")
            continue
        stored = load_file(path)
        error = worst_error(make_case(name, stored), stored)
        print(f"{path.name}: worst relative difference {error:.1e}")
        failed |= not error < 1e-5
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
