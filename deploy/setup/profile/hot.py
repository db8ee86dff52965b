"""Keeps the functions of a profile (llvm-profdata's text, from standard input to standard output) that ran often: what
the training hardly reached is better compiled without a profile than as if it never ran."""

import sys

RUNS_MIN = 1_000

head, _, functions = sys.stdin.read().partition("\n:ir\n")
kept = []
for function in functions.split("\n\n"):
    counters = function.partition("# Counter Values:\n")[2].split("\n# ")[0].split()
    if counters and max(map(int, counters)) >= RUNS_MIN:
        kept.append(function)
print(head + "\n:ir\n" + "\n\n".join(kept))
