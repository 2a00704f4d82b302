import importlib.metadata
import json
import platform

import segtrain


def test_it_says_what_the_numbers_depend_on(two_devices):
    import tensorflow as tf

    from segtrain.reports.environment import describe_environment

    facts = describe_environment(tf.distribute.get_strategy())
    assert facts["segtrain"] == segtrain.__version__
    assert facts["python"] == platform.python_version()
    for package in ("tensorflow", "keras", "numpy", "albumentations", "opencv-python-headless", "hydra-core"):
        assert facts[package] == importlib.metadata.version(package)
    assert facts["replicas"] == 1
    assert len(facts["devices"]) >= 2
    assert facts["git_revision"] is None or len(facts["git_revision"]) >= 7
    assert json.loads(json.dumps(facts)) == facts
