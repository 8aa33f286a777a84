//! Who owns an object that has one of a lab's names.

use kube::{Resource, ResourceExt as _};

use crate::names::{MANAGED_BY_LABEL, MANAGER};

/// Who owns an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// This run.
    Ours,
    /// An earlier experiment with the same name; Kubernetes will delete the object soon.
    Former,
    /// Somebody else.
    Foreign,
}

impl Ownership {
    /// Compares the object's owners with the owner of this run's objects, which has the UID `owner_uid`.
    pub(crate) fn of(object: &impl Resource, owner_uid: &str) -> Self {
        let owners = object.owner_references();
        let is_managed = object.labels().get(MANAGED_BY_LABEL).is_some_and(|label| label == MANAGER);
        if owners.iter().any(|owner| owner.uid == owner_uid) {
            Self::Ours
        } else if is_managed && owners.iter().any(|owner| owner.controller == Some(true)) {
            Self::Former
        } else {
            Self::Foreign
        }
    }
}
