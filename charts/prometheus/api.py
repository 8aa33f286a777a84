"""As much of a Kubernetes API server as the operator needs, in memory, with a kubelet that does nothing: pods are ready at once, and load pods
end with the report of a run on this machine. Nothing of it is checked; the tests in e2e/ run the operator on a real node."""

import json
import queue
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

KINDS = {
    "chaosexperiments": ("paylab.dev/v1alpha1", "ChaosExperiment"), "configmaps": ("v1", "ConfigMap"), "services": ("v1", "Service"),
    "pods": ("v1", "Pod"), "deployments": ("apps/v1", "Deployment"), "replicasets": ("apps/v1", "ReplicaSet"), "jobs": ("batch/v1", "Job"),
    "networkpolicies": ("networking.k8s.io/v1", "NetworkPolicy"), "events": ("events.k8s.io/v1", "Event"),
}


class Cluster:
    """All objects. `reports` has the report of each experiment's load, by the name of the experiment."""

    def __init__(self, reports):
        self.reports = reports
        self.objects = {kind: {} for kind in KINDS}
        self.watchers = {kind: [] for kind in KINDS}
        self.lock = threading.RLock()
        self.version = 0
        # How many of the next requests that write a status fail.
        self.failures = 0

    def changed(self, kind, change, item):
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        for watcher in self.watchers[kind]:
            watcher.put({"type": change, "object": item})

    def create(self, kind, namespace, item):
        with self.lock:
            metadata = item["metadata"]
            key = (namespace, metadata["name"])
            if key in self.objects[kind]:
                return None
            version, name = KINDS[kind]
            created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            metadata.update(namespace=namespace, uid=str(uuid.uuid4()), generation=1, creationTimestamp=created)
            item = {"apiVersion": version, "kind": name, **item}
            self.objects[kind][key] = item
            self.changed(kind, "ADDED", item)
            if kind == "deployments":
                self.start_deployment(item)
            elif kind == "jobs":
                self.run_job(item)
            return item

    def delete(self, kind, key):
        with self.lock:
            item = self.objects[kind].pop(key)
            self.changed(kind, "DELETED", item)
            for other, items in self.objects.items():
                owned = [key for key, it in items.items() if owner(it) == item["metadata"]["uid"]]
                for key in owned:
                    self.delete(other, key)

    def start_deployment(self, item):
        item["status"] = {"observedGeneration": 1, "availableReplicas": item["spec"]["replicas"]}
        template, namespace = item["spec"]["template"], item["metadata"]["namespace"]
        labels = template["metadata"]["labels"]
        replicas = {"metadata": {"name": item["metadata"]["name"] + "-set", "labels": labels, "ownerReferences": [controller(item)]}}
        replicas = self.create("replicasets", namespace, replicas)
        for number in range(item["spec"]["replicas"]):
            metadata = {"name": f"{item['metadata']['name']}-{number}", "labels": labels, "ownerReferences": [controller(replicas)]}
            ready = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [container(template, True, {})]}
            self.create("pods", namespace, {"metadata": metadata, "spec": template["spec"], "status": ready})

    def run_job(self, item):
        template, metadata = item["spec"]["template"], item["metadata"]
        labels = dict(template["metadata"]["labels"], **{"batch.kubernetes.io/job-completion-index": "0"})
        report = dict(self.reports[labels["paylab.dev/experiment"]], runId=labels["paylab.dev/run-id"])
        ended = {"terminated": {"exitCode": 0, "reason": "Completed", "message": json.dumps(report)}}
        status = {"phase": "Succeeded", "containerStatuses": [container(template, False, ended)]}
        pod = {"name": metadata["name"] + "-0", "labels": labels, "ownerReferences": [controller(item)]}
        self.create("pods", metadata["namespace"], {"metadata": pod, "spec": template["spec"], "status": status})

    def listed(self, kind, namespace, selector):
        wanted = dict(pair.split("=") for pair in selector.split(",") if pair)
        items = [it for (its, _), it in self.objects[kind].items() if namespace in (None, its)]
        return [it for it in items if wanted.items() <= it["metadata"].get("labels", {}).items()]


def owner(item):
    return next((it["uid"] for it in item["metadata"].get("ownerReferences", []) if it.get("controller")), None)


def controller(item):
    metadata = item["metadata"]
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": metadata["name"], "uid": metadata["uid"], "controller": True}


def container(template, ready, state):
    return {"name": template["spec"]["containers"][0]["name"], "image": "", "imageID": "", "ready": ready, "restartCount": 0, "state": state}


def failure(code, reason):
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def address(self):
        """Kind, namespace, name and subresource of the request's path."""
        parts = urlparse(self.path).path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = parts[1] if parts[0] == "namespaces" else None
        parts = parts[2:] if namespace else parts
        return parts[0], namespace, *(parts[1:3] + [None, None])[:2]

    def answer(self, code, body):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")

    def do_GET(self):
        cluster = self.server.cluster
        kind, namespace, name, subresource = self.address()
        query = {key: values[0] for key, values in parse_qs(urlparse(self.path).query).items()}
        if subresource == "log":
            return self.answer(*failure(404, "this kubelet has no logs"))
        if query.get("watch") in ("1", "true"):
            return self.watch(kind, namespace, query)
        with cluster.lock:
            if name:
                item = cluster.objects[kind].get((namespace, name))
                return self.answer(200, item) if item else self.answer(*failure(404, "NotFound"))
            version, of = KINDS[kind]
            items = cluster.listed(kind, namespace, query.get("labelSelector", ""))
            head = {"resourceVersion": str(cluster.version)}
            return self.answer(200, {"kind": of + "List", "apiVersion": version, "metadata": head, "items": items})

    def watch(self, kind, namespace, query):
        """Sends every change after the list's version, until the operator leaves."""
        cluster, events = self.server.cluster, queue.Queue()
        selector, since = query.get("labelSelector", ""), int(query.get("resourceVersion") or 0)
        with cluster.lock:
            missed = cluster.listed(kind, namespace, selector)
            for item in (it for it in missed if int(it["metadata"]["resourceVersion"]) > since):
                events.put({"type": "MODIFIED", "object": item})
            cluster.watchers[kind].append(events)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        wanted = dict(pair.split("=") for pair in selector.split(",") if pair)
        self.close_connection = True
        try:
            while True:
                event = events.get()
                if wanted.items() <= event["object"]["metadata"].get("labels", {}).items():
                    self.wfile.write(json.dumps(event).encode() + b"\n")
                    self.wfile.flush()
        except OSError:
            cluster.watchers[kind].remove(events)

    def do_POST(self):
        kind, namespace, _, _ = self.address()
        item = self.server.cluster.create(kind, namespace, self.body())
        return self.answer(201, item) if item else self.answer(*failure(409, "AlreadyExists"))

    def do_PUT(self):
        cluster = self.server.cluster
        kind, namespace, name, _ = self.address()
        body = self.body()
        with cluster.lock:
            if cluster.failures:
                cluster.failures -= 1
                return self.answer(*failure(500, "InternalError"))
            item = cluster.objects[kind].get((namespace, name))
            if not item:
                return self.answer(*failure(404, "NotFound"))
            item["status"] = body["status"]
            cluster.changed(kind, "MODIFIED", item)
            return self.answer(200, item)

    def do_DELETE(self):
        cluster = self.server.cluster
        kind, namespace, name, _ = self.address()
        self.body()
        with cluster.lock:
            if (namespace, name) not in cluster.objects[kind]:
                return self.answer(*failure(404, "NotFound"))
            cluster.delete(kind, (namespace, name))
        return self.answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})


def serve(cluster):
    """Serves a cluster in threads that end with this process, and returns its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.cluster = cluster
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"
