//! Where the user's own service is, and where its secrets are.

use std::collections::BTreeMap;

#[cfg(feature = "schema")]
use paylab_core::text_form;
use serde::{Deserialize, Serialize};

use super::TargetSpec;

/// Where a service is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place<'a> {
    /// At a URL.
    Url(&'a str),
    /// Behind a Service of the experiment's namespace.
    Service(&'a ServiceSpec),
    /// Nowhere yet: the operator deploys this image for the run.
    Image(&'a ImageSpec),
}

impl TargetSpec {
    /// Where the service is; `None` unless exactly one place is named.
    #[must_use]
    pub const fn place(&self) -> Option<Place<'_>> {
        match (&self.url, &self.service, &self.image) {
            (Some(url), None, None) => Some(Place::Url(url.as_str())),
            (None, Some(service), None) => Some(Place::Service(service)),
            (None, None, Some(image)) => Some(Place::Image(image)),
            _ => None,
        }
    }

    /// Replaces the place by a URL.
    pub fn move_to(&mut self, url: &str) {
        (self.url, self.service, self.image) = (Some(url.to_owned()), None, None);
    }
}

/// A Service of the experiment's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceSpec {
    /// The name of the Service, in the namespace of the experiment.
    #[cfg_attr(feature = "schema", schemars(length(max = 63), extend("pattern" = text_form::FAULT_NAME.pattern)))]
    pub name: String,
    /// The number of one of its ports, which speaks HTTP.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65535)))]
    pub port: i32,
}

/// A container image that the operator deploys for the run, as one pod behind a Service of its own. Its fields are those of a
/// container. The pod runs under Pod Security `restricted`: not as root, without privileges and without a service-account token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ImageSpec {
    /// The name of the image.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 512)))]
    pub image: String,
    /// When the image is pulled. By default as Kubernetes decides: always for the tag `latest`, otherwise if it is not on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// The Secrets with which the image is pulled, beside those that the operator uses for its own parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 8)))]
    pub image_pull_secrets: Vec<SecretName>,
    /// The port on which the service listens, on all addresses of its pod. The container's variable `PORT` has it too, unless `env`
    /// says otherwise.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65535)))]
    pub port: i32,
    /// The command, in place of the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64), inner(length(max = 4096))))]
    pub command: Vec<String>,
    /// The arguments, in place of those of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64), inner(length(max = 4096))))]
    pub args: Vec<String>,
    /// Environment variables of the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub env: Vec<EnvSpec>,
    /// The path that answers 2xx or 3xx to a GET once the service can be paid. If it is absent, the service can be paid once its port
    /// accepts connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = super::URL_LEN_MAX),
            extend("x-kubernetes-validations" = [
                {"rule": "self.startsWith('/')", "message": "is not a path; begin with /"},
            ])
        )
    )]
    pub ready_path: Option<String>,
    /// The resources of the container. If it is absent, it has no requests and no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,
    /// As whom the container runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContextSpec>,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PullPolicy {
    /// Whenever a pod starts.
    Always,
    /// If the image is not on the node.
    IfNotPresent,
    /// Never: the image must be on the node.
    Never,
}

/// A Secret, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SecretName {
    /// The name of the Secret, in the namespace of the experiment.
    #[cfg_attr(feature = "schema", schemars(length(max = 253), extend("pattern" = text_form::SECRET_NAME.pattern)))]
    pub name: String,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("x-kubernetes-validations" = [
        {"rule": "!has(self.value) || !has(self.valueFrom)", "message": "has two values; use value or valueFrom"},
    ]))
)]
pub struct EnvSpec {
    /// The name of the variable.
    #[cfg_attr(feature = "schema", schemars(length(max = 256), extend("pattern" = text_form::VARIABLE.pattern)))]
    pub name: String,
    /// Its value. By default it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = 4096)))]
    pub value: Option<String>,
    /// Where its value is, in place of `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ValueFrom {
    /// The key of a Secret in the experiment's namespace.
    pub secret_key_ref: SecretKeyRef,
}

/// One key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SecretKeyRef {
    /// The name of the Secret, in the namespace of the experiment.
    #[cfg_attr(feature = "schema", schemars(length(max = 253), extend("pattern" = text_form::SECRET_NAME.pattern)))]
    pub name: String,
    /// The key of the Secret's data.
    #[cfg_attr(feature = "schema", schemars(length(max = 253), extend("pattern" = text_form::ACCOUNT_OR_KEY.pattern)))]
    pub key: String,
}

/// A secret of the contract, and where its value is on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SecretSpec {
    /// Its name in the contract, which says `{secret.NAME}`.
    #[cfg_attr(feature = "schema", schemars(length(max = 64), extend("pattern" = text_form::SECRET_OF_CONTRACT.pattern)))]
    pub name: String,
    /// The key of a Secret in the experiment's namespace that holds the value.
    pub secret_key_ref: SecretKeyRef,
}

/// The resources of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResourcesSpec {
    /// What a node must have for it, such as `cpu: 100m` and `memory: 64Mi`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::quantities"))]
    pub requests: BTreeMap<String, QuantityText>,
    /// The most that it may use.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::quantities"))]
    pub limits: BTreeMap<String, QuantityText>,
}

/// An amount of a resource: a whole number, or a text with a suffix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum QuantityText {
    /// Such as `2`.
    Number(i64),
    /// Such as `500m` or `64Mi`.
    Text(String),
}

impl QuantityText {
    /// As a text.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// As whom a container runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SecurityContextSpec {
    /// The id of its user, which is not 0. By default the user of the image, which must be a number other than 0, or one that the
    /// cluster assigns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 2_147_483_647)))]
    pub run_as_user: Option<i64>,
}

/// Schemas of values whose form Kubernetes decides.
#[cfg(feature = "schema")]
mod schema {
    use paylab_core::text_form;
    use schemars::{Schema, SchemaGenerator, json_schema};

    /// For each resource, how much of it.
    pub(super) fn quantities(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "maxProperties": 16,
            "additionalProperties": {"x-kubernetes-int-or-string": true, "pattern": text_form::QUANTITY.pattern},
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(places: &serde_json::Value) -> TargetSpec {
        let mut target = json!({
            "pay": {"post": "/p", "text": "{reference}"},
            "ledger": {"list": {"get": "/p", "items": "$[*]", "reference": "$.r", "minor": "$.m"}},
        });
        for (field, value) in places.as_object().unwrap() {
            target[field] = value.clone();
        }
        serde_json::from_value(target).unwrap()
    }

    #[test]
    fn a_target_is_at_one_place_which_a_url_replaces() {
        let (url, service) = (json!("http://a.example"), json!({"name": "shop", "port": 80}));
        let image = json!({"image": "shop:1", "port": 80});
        assert_eq!(target(&json!({"url": url})).place(), Some(Place::Url("http://a.example")));
        assert_eq!(target(&json!({})).place(), None);
        for both in [json!({"url": url, "service": service}), json!({"service": service, "image": image})] {
            assert_eq!(target(&both).place(), None);
        }
        for place in [json!({"service": service}), json!({"image": image})] {
            let mut target = target(&place);
            assert!(matches!(target.place(), Some(Place::Service(_) | Place::Image(_))));
            target.move_to("http://b.example");
            assert_eq!(target.place(), Some(Place::Url("http://b.example")));
        }
    }

    #[test]
    fn a_quantity_is_a_number_or_a_text() {
        let resources: ResourcesSpec =
            serde_json::from_value(json!({"requests": {"cpu": 2, "memory": "64Mi"}})).unwrap();
        let texts: Vec<_> = resources.requests.values().map(QuantityText::text).collect();
        assert_eq!(texts, ["2", "64Mi"]);
    }
}
