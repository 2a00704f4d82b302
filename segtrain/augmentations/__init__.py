"""albumentations pipelines for image and mask together."""
