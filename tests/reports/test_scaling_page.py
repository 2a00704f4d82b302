import re
from xml.etree import ElementTree

import pytest

from segtrain.benchmarks.scaling import LINKS, StepTerms
from segtrain.reports.scaling_page import SPEEDS, draw_scaling, predict_all, write_scaling_page

TERMS = StepTerms(4, 0.02, 0.025, 4e6, 1, 28_172, 117)
EXCHANGE = {
    "images_per_second": 123.6,
    "images_per_second_per_replica": 61.8,
    "single_images_per_second": 160.0,
    "bytes_per_step": 4_028_172,
    "statistics_bytes": 28_160,
    "scalar_bytes": 12,
    "sent_bytes_per_device": 4_028_172,
    "seconds": 0.018,
    "share": 0.278,
}
FACTS = {
    "model": "<segnet>",
    "dataset": "shapes",
    "batch_size": 8,
    "replicas": 2,
    "rounds": 3,
    "command": "segtrain benchmark",
    "environment": {"devices": ["/device:CPU:0", "/device:CPU:1"], "segtrain": "0.1"},
}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "scaling.html"
    write_scaling_page(path, TERMS, EXCHANGE, FACTS)
    return path.read_text(encoding="utf-8")


def test_every_number_of_replicas_has_its_row(page):
    sections = re.findall(r"<h2>([^<]*)</h2>\s*<p class=\"lead\">Assumed: .*?</table>", page, re.DOTALL)
    assert sections == [link.name for link in LINKS]
    for link in LINKS:
        table = page.partition(f"<h2>{link.name}</h2>")[2].partition("</table>")[0]
        assert re.findall(r'<tr><td class="number">(\d+)</td>', table) == [str(n + 1) for n in range(link.most)]


def test_a_row_is_what_the_formula_gives(page):
    table = page.partition("<h2>25 Gbit/s, hosts</h2>")[2].partition("</table>")[0]
    cells = [re.findall(r'number">([^<]+)</td>', row) for row in table.split("<tr>")[2:]]
    # 25 ms, 118 sums of 2 hops of 30 µs, and 4.028 MB at 2.5 GB/s; all but the 117 sums may be hidden. One device by
    # itself takes 20 ms.
    step, waited = 25 + 118 * 2 * 0.03 + 4.028172 / 2.5, 25 + 117 * 2 * 0.03 + 0.028172 / 2.5
    assert cells[1] == ["2", f"{step:.2f}", f"{8000 / step:.1f}", f"{20 / step:.1%}", f"{20 / waited:.1%}"]


def test_the_page_has_its_terms_and_fetches_nothing(page):
    for words in ("25.00 ms", "4,000,000", "28,172", "117", "28,160", "4.028 MB", "27.8%", "&lt;segnet&gt;"):
        assert words in page
    assert "<segnet>" not in page
    assert not re.search(r"(src|href)=\"(?!#|data:)", page.replace("xlink:", ""))
    assert all(f"{speed}&nbsp;×</th>" in page for speed in SPEEDS)


def test_a_chart_has_a_line_for_each_link_with_a_point_for_each_number_of_replicas():
    predicted = [(link, predict_all(TERMS, link)) for link in LINKS]
    chart = ElementTree.fromstring(draw_scaling(predicted, "efficiency", "efficiency, %", 100))
    lines = {element.get("id"): element for element in chart.iter("{http://www.w3.org/2000/svg}g")}
    for link in LINKS:
        points = [*lines[link.name].iter("{http://www.w3.org/2000/svg}use")]
        heights = [-float(point.get("y")) for point in points]
        assert len(points) == link.most
        # The more replicas, the less efficient each.
        assert heights == sorted(heights, reverse=True)
