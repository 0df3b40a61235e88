#!/usr/bin/env python3
"""Makes oracle.safetensors beside this file: LSH attention by its definition, in NumPy and Float64.

    pip install numpy safetensors
    tests/golden/make_oracle.py            writes tests/golden/oracle.safetensors
    tests/golden/make_oracle.py --check    computes it again and compares

For what Hugging Face's library has not: STRICT, only keys of the own bucket, pairs that meet in several
rounds counted once (paper, section 2 and equation 5). Shares no code with the program, nor with its other
tests. Gradients are central differences.
"""

import argparse
import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

LENGTH, HEADS, WIDTH = 29, 2, 3
CHUNK, BUCKETS = 5, 4
SELF_SCORE = -1e5

# name: (mode, rounds, only the own bucket, duplicates corrected, causal, some tokens masked)
CASES = {
    "strict": ("strict", 1, True, False, True, False),
    "strict_rounds": ("strict", 3, True, False, True, False),
    "strict_corrected": ("strict", 3, True, True, True, False),
    "strict_masked": ("strict", 2, True, True, True, True),
    "own_bucket": ("chunked", 2, True, False, True, False),
    "own_bucket_corrected": ("chunked", 3, True, True, True, False),
    "corrected": ("chunked", 3, False, True, True, False),
    "bidirectional": ("chunked", 2, True, True, False, True),
}


def visible_pairs(case, buckets, mask):
    """visible[r, i, s, j]: the copy of token i in round r sees that of token j in round s."""
    mode, rounds, own_bucket, _, causal, _ = case
    position = np.arange(LENGTH)
    slot = np.empty((rounds, LENGTH), dtype=int)
    for r in range(rounds):
        slot[r, np.lexsort((position, buckets[r]))] = position  # by bucket, then position
    same_round = np.eye(rounds, dtype=bool)[:, None, :, None]
    same_bucket = same_round & (buckets[:, :, None, None] == buckets[None, None])
    if mode == "strict":
        behind = slot[:, :, None, None] - slot[None, None]
        visible = same_bucket & (behind >= 0) & (behind <= CHUNK)
    else:
        per_round = -(-LENGTH // CHUNK)
        chunk = np.arange(rounds)[:, None] * per_round + slot // CHUNK  # of all rounds, in a ring
        ahead = (chunk[None, None] - chunk[:, :, None, None]) % (rounds * per_round)
        visible = (ahead == 0) | (ahead == rounds * per_round - 1)
        if not causal:
            visible |= ahead == 1
        if own_bucket:
            visible &= same_bucket
    if causal:
        visible &= (position[None, :] <= position[:, None])[None, :, None, :]
    real = mask.astype(bool)
    return visible & real[None, :, None, None] & real[None, None, None, :]


def attend(case, query, value, buckets, mask):
    """One head: query, value [T, D], buckets [R, T]. Returns what each token reads, and its log-sum-exp."""
    visible = visible_pairs(case, buckets, mask)
    times = visible.sum(axis=(0, 2)).astype(float)  # how often i sees j, [T, T]
    unit = query / np.linalg.norm(query, axis=1, keepdims=True)
    score = query @ unit.T
    np.fill_diagonal(score, SELF_SCORE)
    count = (times > 0).astype(float) if case[3] else times
    with np.errstate(divide="ignore"):
        weight = np.where(count > 0, score + np.log(count), -np.inf)
    largest = np.where(mask, weight.max(axis=1), 0.0)
    unnormalised = np.exp(weight - largest[:, None])
    total = np.where(mask, unnormalised.sum(axis=1), 1.0)
    out = unnormalised @ value / total[:, None]
    return out, np.where(mask, largest + np.log(total), 0.0)


def attend_heads(case, query, value, buckets, mask):
    """query, value [T, H·D], buckets [H, R, T]."""
    outs, lses = zip(*(attend(case, query[:, h * WIDTH:(h + 1) * WIDTH],
                              value[:, h * WIDTH:(h + 1) * WIDTH], buckets[h], mask)
                       for h in range(HEADS)))
    return np.concatenate(outs, axis=1), np.stack(lses)


def differences(loss, at, step=1e-6):
    gradient = np.empty_like(at)
    for i in np.ndindex(at.shape):
        before = at[i]
        at[i] = before + step
        above = loss()
        at[i] = before - step
        gradient[i] = (above - loss()) / (2 * step)
        at[i] = before
    return gradient


def make_case(name):
    case = CASES[name]
    rounds = case[1]
    random = np.random.default_rng(sum(name.encode()))
    shape = (LENGTH, HEADS * WIDTH)
    # What Float32 can hold, so that both sides start from the same numbers.
    query, value, dout = (random.normal(size=shape).astype(np.float32).astype(float) for _ in range(3))
    mask = np.ones(LENGTH, dtype=np.uint8)
    if case[5]:
        mask[random.choice(LENGTH, 6, replace=False)] = 0
    buckets = random.integers(0, BUCKETS, size=(HEADS, rounds, LENGTH)).astype(np.int32)
    buckets[:, :, mask == 0] = BUCKETS
    out, lse = attend_heads(case, query, value, buckets, mask)

    def loss():
        return (attend_heads(case, query, value, buckets, mask)[0] * dout).sum()

    tensors = {"query": query, "value": value, "dout": dout, "buckets": buckets, "mask": mask,
               "out": out, "lse": lse, "dquery": differences(loss, query),
               "dvalue": differences(loss, value),
               "settings": np.array([case[0] == "strict", *case[1:5]], dtype=np.int32)}
    return {f"{name}/{key}": np.ascontiguousarray(value) for key, value in tensors.items()}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="compare instead of writing")
    path = pathlib.Path(__file__).parent / "oracle.safetensors"
    tensors = {key: value for name in CASES for key, value in make_case(name).items()}
    if not arguments.parse_args().check:
        save_file(tensors, path)
        print(f"{path.name}: {path.stat().st_size} bytes")
        return 0
    stored = load_file(path)
    worst = max(np.abs(stored[key].astype(float) - tensors[key].astype(float)).max() for key in tensors)
    print(f"{path.name}: worst difference {worst:.1e}")
    return 0 if stored.keys() == tensors.keys() and worst < 1e-8 else 1


if __name__ == "__main__":
    sys.exit(main())
