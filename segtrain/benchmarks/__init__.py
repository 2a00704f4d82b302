"""What `segtrain benchmark` measures: contenders that take turns, and the ratios between them."""
