"""From a finished run and images of any size to classes: `segtrain predict`, and what `evaluate` asks."""
