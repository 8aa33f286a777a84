"""Renders the chart, and finds things in what was rendered and in its values: what charts/check looks at."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

CHARTS = Path(__file__).resolve().parent
CHART = CHARTS / "paylab"
HELM = os.environ.get("HELM", "helm")
HELM_3 = os.environ.get("HELM_3")
PYYAML = "pyyaml==6.0.3"

try:
    import yaml
except ImportError:
    # Installed into a folder outside the tree, because the machine does not have it.
    packages = Path(os.environ.get("PAYLAB_CACHE", Path.home() / ".cache" / "paylab")) / "charts-check"
    if not (packages / "yaml").exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", packages, PYYAML], check=True)
    sys.path.append(str(packages))
    import yaml


def read(path):
    return yaml.safe_load(path.read_text()) or {}


def helm(*arguments, values=None, program=HELM):
    """Runs helm; `values` are passed as the last values file."""
    files = ["--values", "-"] if values is not None else []
    text = json.dumps(values) if values is not None else None
    return subprocess.run([program, *arguments, *files], input=text, capture_output=True, text=True, check=False)


def render(values, program=HELM):
    """The documents of a release named `lab` in the namespace `here`. Fails with the error of helm."""
    done = helm("template", "lab", str(CHART), "--namespace", "here", values=values, program=program)
    if done.returncode != 0:
        raise AssertionError(done.stderr.strip())
    return [document for document in yaml.safe_load_all(done.stdout) if document is not None]


def of_kind(documents, *kinds):
    return [document for document in documents if document["kind"] in kinds]


def only(documents, kind):
    found = of_kind(documents, kind)
    assert len(found) == 1, f"{len(found)} documents of kind {kind}, not one"
    return found[0]


def operator(documents):
    return only(documents, "Deployment")["spec"]["template"]["spec"]


def environment_of(documents):
    return {variable["name"]: variable for variable in operator(documents)["containers"][0]["env"]}


def leaves(schema, path=()):
    """The values that the schema names. A map with free keys, such as labels, counts as one value."""
    schema = {**schema, **definition(schema)}
    if "properties" not in schema or path[-1:] == ("resources",):
        return [path]
    return [leaf for name, inner in schema["properties"].items() if path + (name,) not in (("global",), ("enabled",)) for leaf in leaves(inner, path + (name,))]


def definition(schema):
    reference = schema.get("$ref", "")
    return read(CHART / "values.schema.json")["definitions"][reference.rsplit("/")[-1]] if reference else {}


def pick(values, path):
    for name in path:
        values = values[name]
    return values


def without(values, path):
    values = copy.deepcopy(values)
    del pick(values, path[:-1])[path[-1]]
    return values


def alone(value, path):
    for name in reversed(path):
        value = {name: value}
    return value


def all_values():
    return leaves(read(CHART / "values.schema.json"))
