"""Runs: everything that decides a run, the run itself, and the records that it leaves.

`config`, `experiment`, `records`, `store`, `probe`, `fitted`, `curve`."""
