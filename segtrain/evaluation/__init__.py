"""A split gone over image by image: the scores of all, of each image, and which images to look at."""
