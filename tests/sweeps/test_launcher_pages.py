"""What stands beside the launchers' configs: a page for each way to start many workers, and the job for Kubernetes."""

import os
import re
import shlex
import subprocess

import hydra
import pytest
import yaml

from segtrain.command import composition
from segtrain.command.command_line import read_command_line
from segtrain.command.composition import check_command_line, config_folder
from segtrain.config_error import ConfigError
from segtrain.training.cluster import Cluster

LAUNCHERS = {"joblib", "ray", "submitit_local", "submitit_slurm"}
# The first word of each of their command lines.
COMMANDS = {
    "slurm.md": ["-m", "-m", "trainer.strategy=multiworker", "compare", "resume", "resume"],
    "ray.md": ["-m"] * 3,
    "kubernetes.md": ["-m"],
}
PAGES = tuple(COMMANDS)
FOLDER = config_folder() / "hydra" / "launcher"
TFJOB = FOLDER / "tfjob.yml"
# Of kubeflow.org/v1, what a TFJob, its runPolicy and its replicas may have.
SPEC = {"runPolicy", "successPolicy", "tfReplicaSpecs", "enableDynamicWorker"}
RUN_POLICY = {"cleanPodPolicy", "ttlSecondsAfterFinished", "activeDeadlineSeconds", "backoffLimit", "schedulingPolicy",
              "suspend", "managedBy"}  # fmt: skip
REPLICA = {"replicas", "template", "restartPolicy"}


def test_pages_and_the_job_are_no_options():
    assert all((FOLDER / name).is_file() for name in (*PAGES, TFJOB.name))
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        loader = hydra.core.global_hydra.GlobalHydra.instance().config_loader()
        assert set(loader.get_group_options("hydra/launcher")) >= LAUNCHERS
        offered = {*loader.get_group_options("hydra/launcher"), *loader.list_groups("hydra/launcher")}
    assert not offered & {"slurm", "kubernetes", "tfjob", "slurm.md", "tfjob.yml"}
    line = read_command_line(["-m", "hydra/launcher=tfjob", "seed=1,2"])
    with pytest.raises(ConfigError, match="tfjob"):
        check_command_line(line, "config", ())


@pytest.fixture(scope="module")
def job():
    return yaml.safe_load(TFJOB.read_text(encoding="utf-8"))


def test_the_job_is_a_tfjob_of_the_operator(job):
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    assert set(job) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(job["spec"]) <= SPEC
    assert set(job["spec"]["runPolicy"]) <= RUN_POLICY
    assert job["spec"]["runPolicy"]["cleanPodPolicy"] in ("All", "Running", "None")
    replicas = job["spec"]["tfReplicaSpecs"]
    # One chief, which writes; Kubeflow's other kinds compute or evaluate in ways that no strategy of ours does.
    assert set(replicas) == {"Chief", "Worker"}
    assert replicas["Chief"]["replicas"] == 1
    assert replicas["Worker"]["replicas"] >= 1
    for replica in replicas.values():
        assert set(replica) <= REPLICA
        # Without it nothing starts a worker again that ended because another one died.
        assert replica["restartPolicy"] == "OnFailure"
    assert replicas["Chief"]["template"] == replicas["Worker"]["template"]


def test_its_pods_see_one_folder_of_outputs(job):
    pod = job["spec"]["tfReplicaSpecs"]["Chief"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == "tensorflow"  # which the operator gives TF_CONFIG
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    claims = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
    assert set(mounted.values()) == set(claims)
    (run,) = [variable["value"] for variable in container["env"] if variable["name"] == "RUN"]
    assert run.startswith("/outputs/")
    assert "/outputs" in mounted
    # TF_CONFIG is the operator's to set.
    assert [variable["name"] for variable in container["env"]] == ["RUN"]


def test_its_command_lines_are_ours(job, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", Cluster(("chief:2222", "worker:2222"), 0).tf_config(0))  # as the operator does
    (container,) = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    shell, option, script = container["command"]
    assert (shell, option) == ("sh", "-c")
    commands = [
        shlex.split(line.replace("$RUN", str(tmp_path / "run")))[1:]
        for line in map(str.strip, script.splitlines())
        if line.startswith("exec ")
    ]
    resume, train = commands
    assert resume == ["segtrain", "resume", str(tmp_path / "run")]
    assert read_command_line(resume[1:]).verb == "resume"
    assert train[:2] == ["segtrain", "trainer.strategy=multiworker"]
    assert f"hydra.run.dir={tmp_path / 'run'}" in train
    check_command_line(read_command_line(train[1:]), "config", ())
    with pytest.raises(ConfigError, match="modle"):
        check_command_line(read_command_line(["modle=x", *train[2:]]), "config", ())


@pytest.mark.parametrize(("has_begun", "told"), [(False, "trainer.strategy=multiworker"), (True, "resume")])
@pytest.mark.parametrize("status", [0, 1])
def test_its_script_begins_a_run_or_goes_on_with_it(job, tmp_path, has_begun, told, status):
    (container,) = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    run, program = tmp_path / "a run", tmp_path / "bin" / "segtrain"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{tmp_path}/typed"\nexit {status}\n')
    program.chmod(0o755)
    if has_begun:
        run.mkdir()
        (run / "results.json").write_text("{}")
    environment = {"PATH": f"{program.parent}:{os.environ['PATH']}", "RUN": str(run)}
    assert subprocess.run(container["command"], env=environment).returncode == status  # which restartPolicy looks at
    typed = (tmp_path / "typed").read_text().splitlines()  # once
    assert typed[0] == told
    assert typed[-1] == (str(run) if has_begun else f"hydra.run.dir={run}")
    assert typed.count(told) == 1


@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/\w+' is validated against")
@pytest.mark.parametrize("name", PAGES)
def test_commands_of_the_pages_are_ours(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a check looks whether it may write there
    monkeypatch.setenv("TF_CONFIG", Cluster(("host1:2222", "host2:2222"), 0).tf_config(0))  # or what srun sets
    monkeypatch.setattr(composition, "check_launcher", lambda config: None)  # neither Slurm nor Ray has to be here
    blocks = (FOLDER / name).read_text(encoding="utf-8").split("```bash\n")[1:]
    lines = [line for block in blocks for line in block.partition("```")[0].replace("\\\n", " ").splitlines()]
    lines = [re.sub("(/shared)?/outputs/", f"{tmp_path}/", line) for line in lines]
    words = [shlex.split(line, comments=True) for line in lines]
    commands = [line[line.index("segtrain") + 1 :] for line in words if "segtrain" in line[:3]]
    assert [command[0] for command in commands] == COMMANDS[name]
    for command in commands:
        line = read_command_line(command)
        if line.verb == "train":
            check_command_line(line, "config", ())
        else:
            assert line.verb in ("resume", "compare")
