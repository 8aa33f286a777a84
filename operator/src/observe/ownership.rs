//! Who owns an object that has one of a lab's names, or the labels of its pods. Names and labels prove nothing, because everybody
//! who may create objects in the namespace chooses them. Only the UID of the controller counts.

use kube::{Resource, ResourceExt as _};

use crate::names::{MANAGED_BY_LABEL, MANAGER, RUN_LABEL};

/// Who owns an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// This run.
    Ours,
    /// An earlier experiment with the same name; Kubernetes will delete the object soon.
    Former,
    /// An earlier experiment that was deleted without what it owned (`kubectl delete --cascade=orphan`). Nobody will delete the object.
    Orphan,
    /// Somebody else.
    Foreign,
}

impl Ownership {
    /// Compares the object's controller with the controller of this run's objects, which has the UID `owner_uid`.
    pub(crate) fn of(object: &impl Resource, owner_uid: &str) -> Self {
        let is_managed = object.labels().get(MANAGED_BY_LABEL).is_some_and(|label| label == MANAGER);
        let has_run = object.labels().contains_key(RUN_LABEL);
        match controller_uid(object) {
            Some(uid) if uid == owner_uid => Self::Ours,
            Some(_) if is_managed => Self::Former,
            None if is_managed && has_run => Self::Orphan,
            Some(_) | None => Self::Foreign,
        }
    }
}

/// Whether the object with this UID controls another one.
pub(crate) fn controls(uid: Option<&str>, object: &impl Resource) -> bool {
    uid.is_some() && controller_uid(object) == uid
}

/// The UID of an object's controller. The API server allows only one.
fn controller_uid(object: &impl Resource) -> Option<&str> {
    object.owner_references().iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::{Value, json};

    use super::*;

    fn object(labels: Value, owners: Value) -> ConfigMap {
        let owned = json!({"metadata": {"name": "x", "labels": labels, "ownerReferences": owners}});
        serde_json::from_value(owned).unwrap()
    }

    fn owner(uid: &str, controller: bool) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "plan", "uid": uid, "controller": controller})
    }

    #[test]
    fn only_the_controller_owns_an_object_whatever_its_labels_say() {
        let ours = json!({MANAGED_BY_LABEL: MANAGER});
        let of = |labels: &Value, owners| Ownership::of(&object(labels.clone(), owners), "plan");
        assert_eq!(of(&ours, json!([owner("plan", true)])), Ownership::Ours);
        assert_eq!(of(&ours, json!([owner("plan", false)])), Ownership::Foreign);
        assert_eq!(of(&ours, json!([owner("plan", false), owner("another", true)])), Ownership::Former);
        assert_eq!(of(&ours, json!([])), Ownership::Foreign);
        let run = json!({MANAGED_BY_LABEL: MANAGER, RUN_LABEL: "1"});
        assert_eq!(of(&run, json!([])), Ownership::Orphan);
        assert_eq!(of(&json!({RUN_LABEL: "1"}), json!([])), Ownership::Foreign);
        assert_eq!(of(&json!({}), json!([owner("another", true)])), Ownership::Foreign);
    }

    #[test]
    fn an_object_without_a_uid_controls_nothing() {
        let orphan = object(json!({}), json!([]));
        assert!(!controls(None, &orphan) && !controls(Some("plan"), &orphan));
        assert!(controls(Some("plan"), &object(json!({}), json!([owner("plan", true)]))));
    }
}
