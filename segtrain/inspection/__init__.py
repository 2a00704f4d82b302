"""What `segtrain inspect` finds out about a dataset by reading all of it. Nothing here imports TensorFlow."""
