import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from segtrain.config_error import ConfigError
from segtrain.sweeps.search_space import read_search_space, varied_overrides


def read(*typed: str, sampler: str = "tpe", **params: str):
    return read_search_space(OmegaConf.create({"sampler": sampler, "params": params}), typed, None)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("interval(0.1,2)", FloatDistribution(0.1, 2.0)),
        ("tag(log,interval(1e-4,1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
        ("int(interval(1,8))", IntDistribution(1, 8)),
        ("tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("range(1,8)", IntDistribution(1, 7)),  # as Hydra's, whose end does not count
        ("range(2,20,5)", IntDistribution(2, 17, step=5)),
        ("range(8,0,-2)", IntDistribution(2, 8, step=2)),
        ("tag(log,range(1,9))", IntDistribution(1, 8, log=True)),
        ("range(0,1,0.25)", FloatDistribution(0, 0.75, step=0.25)),
        ("a,b", CategoricalDistribution(["a", "b"])),
        ("choice(a,b,a)", CategoricalDistribution(["a", "b"])),
        ("1,2.5,null", CategoricalDistribution(["1", "2.5", "null"])),
        ("[32,48],[64,96]", CategoricalDistribution(["[32,48]", "[64,96]"])),
    ],
)
def test_what_is_typed_is_what_is_drawn_from(typed, expected):
    space = read("epochs=3", f"a.b={typed}")
    assert space.distributions == {"a.b": expected}
    assert space.fixed == ["epochs=3"]


def test_the_command_line_goes_before_the_file():
    space = read("a=interval(1,2)", "b=4", "hydra/sweeper=optuna", a="interval(3,4)", b="1,2", c="x,y", d="5")
    assert space.distributions == {"a": FloatDistribution(1, 2), "c": CategoricalDistribution(["x", "y"])}
    assert sorted(space.fixed) == ["b=4", "d=5"]


def test_a_grid_has_every_value():
    space = read("a=range(1,8,3)", "b=x,y", "c=range(0,1,0.25)", sampler="grid")
    assert space.grid() == {"a": [1, 4, 7], "b": ["x", "y"], "c": [0.0, 0.25, 0.5, 0.75]}


def test_drawn_values_are_overrides_that_hydra_reads_back():
    params = {"a": 0.0123456789, "b": 1e-7, "c": 3, "d": "[32,48]", "+e": 0.1 + 0.2, "f": 2e6}
    typed = varied_overrides(params)
    assert typed == ["a=0.0123457", "b=1e-07", "c=3", "d=[32,48]", "+e=0.3", "f=2e+06"]
    values = [override.value() for override in OverridesParser.create().parse_overrides(typed)]
    assert values == [0.0123457, 1e-7, 3, [32, 48], 0.3, 2e6]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["a=interval(2,1)"], "a=interval(2,1): `low <= high` must hold"),
        (["a=tag(log,interval(0,1))"], "`low > 0` must hold"),
        (["a=range(3,3)"], "a=range(3,3): there is no value in it"),
        (["a=tag(lgo,interval(1,2))"], "the one tag is log"),
        (["a=tag(log,choice(1,2))"], "the one tag is log"),
        (["a=3"], "nothing to search. Type what to vary, such as 'optimizer.learning_rate="),
    ],
)
def test_what_nothing_can_be_drawn_from_is_told(typed, told):
    with pytest.raises(ConfigError) as error:
        read(*typed)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_grid_has_no_intervals():
    with pytest.raises(ConfigError, match=r"sampler=grid tries each value.*Type range\("):
        read("a=interval(1,2)", sampler="grid")
