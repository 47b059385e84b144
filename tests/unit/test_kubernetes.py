"""The manifests of deploy/kubernetes: right by Kubernetes' own schemas and by each other, and none runs as root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
#: The oldest that is asked of a cluster, and the newest that there are schemas of.
VERSIONS = ("1.30", kubernetes_validate.latest_version())


def of_file(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one["kind"] != "Kustomization"]


ALL = [manifest for path in sorted(FOLDER.glob("*.yaml")) for manifest in of_file(path)]


def templates() -> list[dict[str, Any]]:
    return [one["spec"]["template"] for one in ALL if "template" in one.get("spec", {})]


def containers() -> list[dict[str, Any]]:
    specs = [template["spec"] for template in templates()]
    return [one for spec in specs for one in (*spec.get("initContainers", ()), *spec["containers"])]


@pytest.mark.parametrize("version", VERSIONS)
def test_each_is_what_kubernetes_takes(version: str) -> None:
    for manifest in ALL:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_what_is_applied_is_all_but_the_secret_and_the_job() -> None:
    [listed] = yaml.safe_load_all((FOLDER / "kustomization.yaml").read_text())
    others = {"kustomization.yaml", "secret.example.yaml", "submit.yaml"}
    assert set(listed["resources"]) == {path.name for path in FOLDER.glob("*.yaml")} - others


def test_nothing_is_root_or_can_write_its_own() -> None:
    for template in templates():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
        assert spec["automountServiceAccountToken"] is False
    for one in containers():
        context = one["securityContext"]
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"], one["name"]
        assert context["capabilities"] == {"drop": ["ALL"]} and one["resources"]["limits"]["memory"], one["name"]


def test_they_name_what_there_is() -> None:
    [secret] = [one for one in ALL if one["kind"] == "Secret"]
    assert set(secret["stringData"].values()) == {""}, "an example holds no password"
    claims = {one["metadata"]["name"] for one in ALL if one["kind"] == "PersistentVolumeClaim"}
    labels = [template["metadata"]["labels"] for template in templates()]
    for one in containers():
        for variable in one.get("env", ()):
            key = variable.get("valueFrom", {}).get("secretKeyRef")
            assert key is None or (key["name"] == "manyeyes" and key["key"] in secret["stringData"]), one["name"]
    for template in templates():
        volumes = template["spec"].get("volumes", [])
        named = {one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one}
        assert named <= claims
    for one in ALL:
        selector = one["spec"]["selector"] if one["kind"] == "Service" else None
        assert selector is None or any(selector.items() <= have.items() for have in labels), one["metadata"]["name"]
