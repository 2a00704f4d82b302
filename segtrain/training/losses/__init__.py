"""Losses, one per file.

A loss takes labels and logits and returns this replica's share of the loss: the shares of all replicas add up to the
loss of the global batch. Void pixels count nowhere, and a batch of nothing but void costs zero.

Where a step has several batches, their losses are averaged by their valid pixels. A loss that averages by something
else says by what: its attribute `weight` is a function of a replica's labels.
"""
