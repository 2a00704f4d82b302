"""What decoders read: the feature maps of a network at each of its sizes."""

from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Encoder:
    """A network from images to feature maps, the largest first.

    Attributes:
        model: from images `(batch, height, width, channels)` with values 0..255, of any height and width, to a list of
            maps `(batch, ceil(height / 32) * 32 / stride, ceil(width / 32) * 32 / stride, width of the map)`. Images
            are padded inside to a multiple of 32, so a map has exactly twice the size of the next; a decoder cuts its
            logits to the size of the image in the end.
        strides: how many pixels of the image a pixel of each map stands for, 2 to 32.
        widths: channels of each map.
    """

    model: keras.Model
    strides: tuple[int, ...]
    widths: tuple[int, ...]

    def reading(self, *strides: int) -> "Encoder":
        """Returns the part of the encoder that maps of these strides are made by.

        Raises:
            ValueError: there is no map of such a stride.
        """
        missing = [stride for stride in strides if stride not in self.strides]
        if missing:
            raise ValueError(
                f"model.encoder: this model reads a map of stride {missing[0]}, and {self.model.name} has "
                f"{', '.join(map(str, self.strides))}. Type another model/encoder=NAME."
            )
        places = [self.strides.index(stride) for stride in strides]
        maps = [self.model.outputs[place] for place in places]
        model = keras.Model(self.model.inputs[0], maps, name=self.model.name)
        return Encoder(model, strides, tuple(self.widths[place] for place in places))
