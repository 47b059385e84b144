"""deploy/kubernetes/autoscaling: KEDA takes it, and asks for what the monitor says of what the workers serve."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder

from tests.unit.test_kubernetes import FOLDER, VERSIONS
from tests.unit.test_monitoring import READING, Told

COMPONENT = FOLDER / "autoscaling"
COUNT = {"type": "integer", "minimum": 0}
NAME = {"type": "string", "minLength": 1}


def exactly(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with these fields and no other."""
    properties = {**required, **optional}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


#: Of KEDA 2.14 to 2.20: what a ScaledObject, and its scaler `metrics-api`, may have, as far as it is used here.
SCALED_OBJECT = exactly(
    {
        "apiVersion": {"const": "keda.sh/v1alpha1"},
        "kind": {"const": "ScaledObject"},
        "metadata": {"type": "object"},
        "spec": exactly(
            {
                "scaleTargetRef": exactly({"name": NAME}, kind=NAME, apiVersion=NAME),
                "triggers": {
                    "type": "array",
                    "minItems": 1,
                    "items": exactly(
                        {
                            "type": {"const": "metrics-api"},
                            # Strings, all of them.
                            "metadata": exactly(
                                {
                                    "url": NAME,
                                    "valueLocation": NAME,
                                    "targetValue": {"type": "string", "pattern": r"^\d+$"},
                                },
                                format={"enum": ["json", "xml", "yaml", "prometheus"]},
                                activationTargetValue={"type": "string", "pattern": r"^\d+$"},
                            ),
                        },
                        metricType={"enum": ["AverageValue", "Value", "Utilization"]},
                    ),
                },
            },
            minReplicaCount=COUNT,
            maxReplicaCount={"type": "integer", "minimum": 1},
            pollingInterval={"type": "integer", "minimum": 1},
            cooldownPeriod=COUNT,
            advanced=exactly({"horizontalPodAutoscalerConfig": exactly({"behavior": {"type": "object"}})}),
        ),
    }
)


def scaled_object() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPONENT / "scaledobject.yaml").read_text())
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """All of deploy/kubernetes with the component switched on, as a user does it."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl")
    folder = tmp_path_factory.mktemp("kustomized") / "kubernetes"
    shutil.copytree(FOLDER, folder)
    file = folder / "kustomization.yaml"
    text = file.read_text().replace("# components:\n#   - autoscaling\n", "components:\n  - autoscaling\n")
    assert text != file.read_text()
    file.write_text(text)
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def test_it_is_what_keda_takes() -> None:
    jsonschema.validate(scaled_object(), SCALED_OBJECT)
    spec = scaled_object()["spec"]
    for version in VERSIONS:
        # KEDA makes one of these of it.
        autoscaler = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "worker"},
            "spec": {
                "scaleTargetRef": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": spec["scaleTargetRef"]["name"],
                },
                "maxReplicas": spec["maxReplicaCount"],
                **spec["advanced"]["horizontalPodAutoscalerConfig"],
            },
        }
        kubernetes_validate.validate(autoscaler, version, strict=True)


def test_it_asks_for_one_figure_that_the_monitor_has() -> None:
    """KEDA takes the first series that fits, and sums nothing; older ones take the line that begins so."""
    [trigger] = scaled_object()["spec"]["triggers"]
    asked = trigger["metadata"]["valueLocation"]
    encode, content_type = choose_encoder("")
    assert content_type == CONTENT_TYPE_PLAIN_0_0_4, "what is served to who accepts anything"
    told = encode(Told(READING)).decode()
    assert told == generate_latest(Told(READING)).decode()
    [line] = [line for line in told.splitlines() if line.startswith(asked)]
    assert line.split() == [asked, "41.0"]


def test_it_scales_the_workers_of_that_detector(built: list[dict[str, Any]]) -> None:
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in built}
    spec = by_name["ScaledObject", "worker"]["spec"]
    worker, monitor = (by_name["Deployment", name]["spec"] for name in (spec["scaleTargetRef"]["name"], "monitor"))
    assert "replicas" not in worker, "KEDA's, not ours"
    [trigger] = spec["triggers"]
    detector = environment(worker)["MANYEYES_DETECTOR"]
    assert trigger["metadata"]["valueLocation"] == f'manyeyes_images_remaining{{detector="{detector}"}}'
    assert environment(monitor)["MANYEYES_MONITOR_SCALED"] == detector
    service = by_name["Service", "monitor"]
    [port] = [one["port"] for one in service["spec"]["ports"]]
    address = urlsplit(trigger["metadata"]["url"])
    assert address.netloc == f"monitor.{service['metadata']['namespace']}.svc:{port}" and address.path == "/metrics"
    # TERM: a worker hands its shards back within 30 s.
    assert worker["template"]["spec"]["terminationGracePeriodSeconds"] > 30
    for version in VERSIONS:
        for one in built:
            if one["kind"] != "ScaledObject":
                kubernetes_validate.validate(one, version, strict=True)


def environment(deployment: dict[str, Any]) -> dict[str, str]:
    [container] = deployment["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}
