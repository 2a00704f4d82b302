from xml.etree import ElementTree

from matplotlib.figure import Figure

from segtrain.reports.svg import INK, as_svg, drawn_in

SVG = "{http://www.w3.org/2000/svg}"


def test_letters_stay_text_in_one_colour():
    with drawn_in(INK):
        figure = Figure(figsize=(3, 2))
        figure.subplots().set(xlabel="epoch", title="loss")
        root = ElementTree.fromstring(as_svg(figure))
    assert root.tag == f"{SVG}svg"
    words = {element.text: element.get("style") for element in root.iter(f"{SVG}text")}
    assert words.keys() >= {"epoch", "loss"}
    assert all(INK in style for style in words.values())
