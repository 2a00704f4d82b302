"""What is known of an epoch when it is done: the columns of metrics.csv, and what a callback may monitor."""

TIMING_COLUMNS = ("images_per_second", "data_wait", "seconds")
EPOCH_COLUMNS = (
    "epoch",
    "loss",
    "pixel_accuracy",
    "mean_iou",
    "val_loss",
    "val_pixel_accuracy",
    "val_mean_iou",
    "learning_rate",
    *TIMING_COLUMNS,
)
