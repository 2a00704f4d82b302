"""Colours for class ids."""


def voc_palette(num_classes: int) -> list[tuple[int, int, int]]:
    """Returns Pascal VOC's colour map: distinct RGB colours 0..255, black for class 0.

    Bit `k` of each channel comes from bits `3 k`, `3 k + 1` and `3 k + 2` of the id, highest bit first.
    Source: VOCdevkit, `VOClabelcolormap.m`, http://host.robots.ox.ac.uk/pascal/VOC/.
    """
    colours = []
    for class_id in range(num_classes):
        red = green = blue = 0
        for bit in range(8):
            red |= (class_id >> (3 * bit) & 1) << (7 - bit)
            green |= (class_id >> (3 * bit + 1) & 1) << (7 - bit)
            blue |= (class_id >> (3 * bit + 2) & 1) << (7 - bit)
        colours.append((red, green, blue))
    return colours
