"""Stages the add-ons' charts, ready to be packaged.

Usage: charts.py SOURCES OURS STAGED. SOURCES contains the files from the add-ons' Go modules, OURS the charts of this
repository; the versions are in the environment. Writes STAGED/NAME and STAGED/charts.json.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import yaml

class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads `=` as text, as Go does and as the Prometheus operator's enums mean it."""


Loader.add_constructor("tag:yaml.org,2002:value", Loader.construct_yaml_str)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def main():
    sources, ours, staged = map(Path, sys.argv[1:])
    version = os.environ
    charts = {}

    def stage(name, source, chart_version, app_version):
        target = staged / name
        shutil.copytree(source, target)
        description = read(target / "Chart.yaml")[0]
        description |= {"version": chart_version, "appVersion": app_version}
        # The only dependencies are disabled by default, and their repository cannot be reached from here.
        description.pop("dependencies", None)
        (target / "Chart.lock").unlink(missing_ok=True)
        write(target / "Chart.yaml", description)
        charts[name] = {"version": chart_version, "appVersion": app_version}
        return target

    target = stage("external-secrets", sources / "external-secrets", version["CHART_EXTERNAL_SECRETS"],
                   f"v{version['EXTERNAL_SECRETS']}")
    (target / "bundle.yaml").unlink()
    shutil.rmtree(target / "tests")
    for crd in read(sources / "external-secrets/bundle.yaml"):
        kind = crd["spec"]["names"]["kind"]
        switch = f"crds.create{kind}"
        optional = kind.startswith("Cluster") or kind == "PushSecret"
        condition = f"and .Values.installCRDs .Values.{switch}" if optional else ".Values.installCRDs"
        write_crd(target / "templates/crds", crd, condition)

    stage("external-dns", sources / "external-dns", version["CHART_EXTERNAL_DNS"], version["EXTERNAL_DNS"])
    stage("metrics-server", sources / "metrics-server", version["CHART_METRICS_SERVER"], version["METRICS_SERVER"])
    stage("aws-load-balancer-controller", ours / "aws-load-balancer-controller",
          version["CHART_LOAD_BALANCER_CONTROLLER"], f"v{version['LOAD_BALANCER_CONTROLLER']}")

    target = stage("prometheus-operator-crds", ours / "prometheus-operator-crds",
                   version["CHART_PROMETHEUS_OPERATOR_CRDS"], f"v{version['PROMETHEUS_OPERATOR']}")
    for file in sorted((sources / "prometheus-operator").glob("*.yaml")):
        crd = read(file)[0]
        write_crd(target / "templates", crd, f".Values.crds.{crd['spec']['names']['plural']}.enabled")

    target = stage("argo-cd", ours / "argo-cd", version["CHART_ARGO_CD"], f"v{version['ARGOCD']}")
    for number, manifest in enumerate(read(sources / "argocd/install.yaml")):
        if manifest["kind"] == "CustomResourceDefinition":
            write_crd(target / "templates/crds", manifest, ".Values.crds.install", keep=".Values.crds.keep")
        else:
            name = f"{number:02}-{manifest['kind'].lower()}-{manifest['metadata']['name']}.yaml"
            write(target / "manifests" / name, manifest)

    (staged / "charts.json").write_text(json.dumps(charts, indent=2, sort_keys=True) + "\n")


def read(file):
    return [document for document in yaml.load_all(file.read_text(), Loader) if document]


def write(file, document):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.dump(document, Dumper=DUMPER, sort_keys=False, width=200))


def write_crd(folder, crd, condition, keep="false"):
    """Writes a CRD as a template, without the schema's descriptions: they are nine tenths of what a release stores."""
    for served in crd["spec"]["versions"]:
        without_descriptions(served["schema"]["openAPIV3Schema"])
    crd.pop("status", None)
    annotations = crd["metadata"].pop("annotations", {})
    text = yaml.dump(crd, Dumper=DUMPER, sort_keys=False, width=200)
    text = text.replace("{{", '{{ "{{" }}')
    marks = "".join(f"    {key}: {value!r}\n" for key, value in annotations.items())
    head = f'metadata:\n  annotations:\n    {{{{- if {keep} }}}}\n    helm.sh/resource-policy: keep\n    {{{{- end }}}}\n' \
           f'    {{{{- with .Values.crds.annotations }}}}\n    {{{{- toYaml . | nindent 4 }}}}\n    {{{{- end }}}}\n{marks}'
    text = text.replace("metadata:\n", head, 1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{crd['metadata']['name']}.yaml").write_text(f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n")


def without_descriptions(schema):
    """Deletes `description` where it documents a schema, not where it is the name of a field."""
    if isinstance(schema, list):
        for part in schema:
            without_descriptions(part)
    elif isinstance(schema, dict):
        if isinstance(schema.get("description"), str):
            del schema["description"]
        for key, part in schema.items():
            if key == "properties":
                for field in part.values():
                    without_descriptions(field)
            elif key not in ("default", "enum", "example"):
                without_descriptions(part)


if __name__ == "__main__":
    main()
