//! A mutating webhook in this process, which adds containers to the pods of chosen namespaces, as a service mesh does.

use std::{fs, net::SocketAddr, sync::Arc, thread};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use paylab_e2e::Node;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    runtime,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// The label of the namespaces whose pods the webhook is asked about, with its name as value.
const NAMESPACE_LABEL: &str = "paylab-test-webhook";

/// The container that a pod gets; the pod has its namespace. `None`: it stays as it is.
pub(crate) type Added = fn(namespace: &str, pod: &Value) -> Option<Value>;

/// Asks the API server to call the webhook. It is removed when this is dropped; the server itself runs until this process ends.
pub(crate) struct Webhook<'a> {
    node: &'a Node,
    name: &'static str,
}

impl<'a> Webhook<'a> {
    /// Starts it, and returns it with the label that a namespace needs.
    pub(crate) fn start(node: &'a Node, name: &'static str, added: Added) -> (Self, String) {
        let [certificate, key] = node.serving_certificate(name, node.gateway()).unwrap();
        let address = serve(node, &acceptor(&fs::read(certificate).unwrap(), &fs::read(key).unwrap()), added);
        let authority = STANDARD.encode(fs::read(node.authority()).unwrap());
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": format!("{name}.paylab.dev"),
                "clientConfig": {"url": format!("https://{address}/"), "caBundle": authority},
                "namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: name}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }],
        });
        node.apply(&configuration.to_string()).unwrap();
        (Self { node, name }, format!("{NAMESPACE_LABEL}={name}"))
    }
}

impl Drop for Webhook<'_> {
    fn drop(&mut self) {
        // A node that has failed takes it along.
        let _ = self.node.kubectl(&["delete", "mutatingwebhookconfiguration", self.name]);
    }
}

fn acceptor(certificate: &[u8], key: &[u8]) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
}

fn serve(node: &Node, acceptor: &TlsAcceptor, added: Added) -> SocketAddr {
    let listener = std::net::TcpListener::bind((node.gateway(), 0)).unwrap();
    let (address, acceptor) = (listener.local_addr().unwrap(), acceptor.clone());
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // A client that goes away is none of the test's.
                tokio::spawn(async move { drop(answer(acceptor, client, added).await) });
            }
        });
    });
    address
}

/// Answers one review.
async fn answer(acceptor: TlsAcceptor, client: TcpStream, added: Added) -> std::io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(client).await?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = reviewed(&serde_json::from_slice(&body)?, added).to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    stream.shutdown().await
}

fn reviewed(review: &Value, added: Added) -> Value {
    let request = &review["request"];
    let container = added(request["namespace"].as_str().unwrap_or_default(), &request["object"]);
    let mut response = json!({"uid": request["uid"], "allowed": true});
    if let Some(container) = container {
        let patch = json!([{"op": "add", "path": "/spec/containers/-", "value": container}]);
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(patch.to_string()));
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}
