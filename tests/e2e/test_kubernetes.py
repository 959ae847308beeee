"""
The manifests in deploy/kubernetes/: valid, and in agreement with the image and the settings.
"""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from workers.cli.main import cli

with warnings.catch_warnings():
    # It asks an old interface of the standard library for its own version.
    warnings.simplefilter("ignore", DeprecationWarning)
    import kubernetes_validate

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"
MANIFESTS: Final = sorted(
    path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml"
)
# `preStop.sleep` needs no shell; it is there since this version.
OLDEST: Final = "1.30"

Manifest = dict[str, object]


def documents(path: Path) -> list[Manifest]:
    """The manifests of one file."""
    return [item for item in yaml.safe_load_all(path.read_text(encoding="utf-8")) if item]


def containers() -> Iterator[Manifest]:
    """Every container of every pod."""
    for path in MANIFESTS:
        for manifest in documents(path):
            spec = manifest["spec"]
            assert isinstance(spec, dict)
            pod = spec.get("template", {}).get("spec", {})
            yield from pod.get("containers", [])


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_valid(path: Path) -> None:
    """No field that Kubernetes does not know, none of a wrong type."""
    for manifest in documents(path):
        kubernetes_validate.validate(manifest, OLDEST, strict=True)


def test_every_manifest_is_applied() -> None:
    """The list of resources names each file, and nothing else."""
    (listed,) = documents(FOLDER / "kustomization.yaml")
    assert sorted(path.name for path in MANIFESTS) == sorted(map(str, _list(listed["resources"])))


def test_containers_run_commands_that_exist_and_read_the_mounted_settings() -> None:
    """Every container starts a command of ours, with `ENV_FILE` inside of the mounted secret."""
    found = list(containers())
    assert {"serve", "work"} == {str(_list(container["args"])[0]) for container in found}
    for container in found:
        assert str(_list(container["args"])[0]) in cli.commands
        variables = {item["name"]: item["value"] for item in _list(container["env"])}
        mounts = [item["mountPath"] for item in _list(container["volumeMounts"])]
        assert any(variables["ENV_FILE"] == f"{path}/settings" for path in mounts)


def test_containers_may_do_nothing_that_they_need_not() -> None:
    """Neither root nor writes outside of their volumes, and a limit of memory."""
    for container in containers():
        security = container["securityContext"]
        assert isinstance(security, dict)
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert ["ALL"] == security["capabilities"]["drop"]
        resources = container["resources"]
        assert isinstance(resources, dict)
        assert "memory" in resources["limits"]


def _list(value: object) -> list[dict[str, str]]:
    assert isinstance(value, list)
    return value


def test_workers_are_scaled_by_a_metric_that_exists() -> None:
    """The example for KEDA names a deployment of ours and one of our metrics."""
    (scaled,) = documents(FOLDER / "keda" / "worker-scaling.yaml")
    spec = scaled["spec"]
    assert isinstance(spec, dict)
    assert "buildr-calls-worker" == spec["scaleTargetRef"]["name"]
    (trigger,) = spec["triggers"]
    metric = re.findall(r"buildr_calls_(\w+)", trigger["metadata"]["query"])
    families = (FOLDER.parents[1] / "workers" / "metrics" / "families.py").read_text("utf-8")
    assert [f'"{name}"' for name in metric if f'"{name}"' in families] == [
        '"unread_oldest_age_seconds"'
    ]
