"""Tiny models are computed by one thread: on a machine that is busy, several would mostly wait for each other."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
