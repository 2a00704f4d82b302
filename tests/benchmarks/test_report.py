import io
import json
import re

from rich.console import Console

from segtrain.benchmarks.alternation import NOT_MEASURED, Figure
from segtrain.benchmarks.report import ROWS, as_dict, as_table

FIGURES = {
    "loop_over_step": Figure(0.98, 0.95, 1.01),
    "pooling_pair.graph_ratio": Figure(0.25, 0.24, 0.31),
    "pooling_pair.xla_ratio": Figure(0.07, 0.06, 0.08),
    "flops_per_image": Figure(192e6, 192e6, 192e6),
    "achieved_over_peak": Figure(float("nan"), float("nan"), float("nan")),
}


def test_json_nests_by_dots_with_spreads_apart():
    result = json.loads(json.dumps(as_dict(FIGURES)))
    assert result["loop_over_step"] == 0.98
    assert result["pooling_pair"] == {"graph_ratio": 0.25, "xla_ratio": 0.07}
    assert result["spread"]["pooling_pair"]["graph_ratio"] == [0.24, 0.31]
    assert result["spread"]["loop_over_step"] == [0.95, 1.01]


def test_the_table_shows_medians_spreads_and_goals_in_80_columns():
    console = Console(file=io.StringIO(), width=80)
    console.print(as_table(FIGURES, "a title"))
    lines = console.file.getvalue().splitlines()
    (loop,) = (line for line in lines if "whole loop / bare step" in line)
    assert re.split(r"\s{2,}", loop.strip()) == ["whole loop / bare step", "0.980", "0.950", "1.010", ">= 0.97"]
    (flops,) = (line for line in lines if "GFLOP of a step" in line)
    assert re.split(r"\s{2,}", flops.strip()) == ["GFLOP of a step, per image", "0.19"]
    assert not [line for line in lines if "missed" in line]
    (achieved,) = (line for line in lines if "achieved" in line)
    assert re.split(r"\s{2,}", achieved.strip()) == ["achieved / matrix product", "–"]
    assert max(map(len, lines)) <= 80


def test_every_row_fits_its_line():
    console = Console(file=io.StringIO(), width=80)
    console.print(as_table({name: Figure(1.5, 1, 2) for name in ROWS}, "all"))
    labels = [label for label, _, _ in ROWS.values()]
    shown = console.file.getvalue()
    assert len(labels) == len(set(labels)) == 43
    assert all(label in shown for label in labels)


def test_a_goal_that_was_missed_says_so():
    console = Console(file=io.StringIO(), width=80)
    figures = {"loop_over_step": Figure(0.96, 0.9, 0.99), "pooling_pair.graph_ratio": Figure(0.41, 0.3, 0.5)}
    figures["pipeline_over_torch"] = NOT_MEASURED
    console.print(as_table(figures | {"pooling_pair.xla_ratio": Figure(0.25, 0.1, 0.5)}, "goals"))
    missed = [line.strip().split("  ")[0] for line in console.file.getvalue().splitlines() if "missed" in line]
    assert missed == ["whole loop / bare step", "pooling pair / usual way, time"]
