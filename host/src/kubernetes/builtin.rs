//! How Kubernetes itself calls its kinds, for when no cluster can be asked.

use model::Value;

/// What names a kind in rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The API group, empty for the core.
    pub group: String,
    /// Such as `deployments`.
    pub plural: String,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
}

/// Kinds with their plurals.
type Plurals = &'static [(&'static str, &'static str)];

/// Groups, and their kinds: those that lie in namespaces, then those that don't.
const KINDS: [(&str, Plurals, Plurals); 21] = [
    (
        "",
        &[
            ("Binding", "bindings"),
            ("ConfigMap", "configmaps"),
            ("Endpoints", "endpoints"),
            ("Event", "events"),
            ("LimitRange", "limitranges"),
            ("PersistentVolumeClaim", "persistentvolumeclaims"),
            ("Pod", "pods"),
            ("PodTemplate", "podtemplates"),
            ("ReplicationController", "replicationcontrollers"),
            ("ResourceQuota", "resourcequotas"),
            ("Secret", "secrets"),
            ("Service", "services"),
            ("ServiceAccount", "serviceaccounts"),
        ],
        &[
            ("ComponentStatus", "componentstatuses"),
            ("Namespace", "namespaces"),
            ("Node", "nodes"),
            ("PersistentVolume", "persistentvolumes"),
        ],
    ),
    (
        "admissionregistration.k8s.io",
        &[],
        &[
            ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
            ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
            ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
            ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
        ],
    ),
    ("apiextensions.k8s.io", &[], &[("CustomResourceDefinition", "customresourcedefinitions")]),
    ("apiregistration.k8s.io", &[], &[("APIService", "apiservices")]),
    (
        "apps",
        &[
            ("ControllerRevision", "controllerrevisions"),
            ("DaemonSet", "daemonsets"),
            ("Deployment", "deployments"),
            ("ReplicaSet", "replicasets"),
            ("StatefulSet", "statefulsets"),
        ],
        &[],
    ),
    (
        "authentication.k8s.io",
        &[],
        &[("SelfSubjectReview", "selfsubjectreviews"), ("TokenReview", "tokenreviews")],
    ),
    (
        "authorization.k8s.io",
        &[("LocalSubjectAccessReview", "localsubjectaccessreviews")],
        &[
            ("SelfSubjectAccessReview", "selfsubjectaccessreviews"),
            ("SelfSubjectRulesReview", "selfsubjectrulesreviews"),
            ("SubjectAccessReview", "subjectaccessreviews"),
        ],
    ),
    ("autoscaling", &[("HorizontalPodAutoscaler", "horizontalpodautoscalers")], &[]),
    ("batch", &[("CronJob", "cronjobs"), ("Job", "jobs")], &[]),
    ("certificates.k8s.io", &[], &[("CertificateSigningRequest", "certificatesigningrequests")]),
    ("coordination.k8s.io", &[("Lease", "leases")], &[]),
    ("discovery.k8s.io", &[("EndpointSlice", "endpointslices")], &[]),
    ("events.k8s.io", &[("Event", "events")], &[]),
    (
        "flowcontrol.apiserver.k8s.io",
        &[],
        &[
            ("FlowSchema", "flowschemas"),
            ("PriorityLevelConfiguration", "prioritylevelconfigurations"),
        ],
    ),
    (
        "networking.k8s.io",
        &[("Ingress", "ingresses"), ("NetworkPolicy", "networkpolicies")],
        &[
            ("IPAddress", "ipaddresses"),
            ("IngressClass", "ingressclasses"),
            ("ServiceCIDR", "servicecidrs"),
        ],
    ),
    ("node.k8s.io", &[], &[("RuntimeClass", "runtimeclasses")]),
    ("policy", &[("PodDisruptionBudget", "poddisruptionbudgets")], &[]),
    (
        "rbac.authorization.k8s.io",
        &[("Role", "roles"), ("RoleBinding", "rolebindings")],
        &[("ClusterRole", "clusterroles"), ("ClusterRoleBinding", "clusterrolebindings")],
    ),
    (
        "resource.k8s.io",
        &[("ResourceClaim", "resourceclaims"), ("ResourceClaimTemplate", "resourceclaimtemplates")],
        &[("DeviceClass", "deviceclasses"), ("ResourceSlice", "resourceslices")],
    ),
    ("scheduling.k8s.io", &[], &[("PriorityClass", "priorityclasses")]),
    (
        "storage.k8s.io",
        &[("CSIStorageCapacity", "csistoragecapacities")],
        &[
            ("CSIDriver", "csidrivers"),
            ("CSINode", "csinodes"),
            ("StorageClass", "storageclasses"),
            ("VolumeAttachment", "volumeattachments"),
            ("VolumeAttributesClass", "volumeattributesclasses"),
        ],
    ),
];

impl Naming {
    /// How Kubernetes calls one of its own kinds; none: it is not one of them.
    pub fn builtin(api_version: &str, kind: &str) -> Option<Self> {
        let group = group(api_version);
        let (_, inside, outside) = KINDS.iter().find(|(own, ..)| *own == group)?;
        let plural = |kinds: Plurals| kinds.iter().find(|(own, _)| *own == kind).map(|one| one.1);
        let found = plural(inside).map(|plural| (plural, true));
        let (plural, namespaced) = found.or_else(|| Some((plural(outside)?, false)))?;
        Some(Self { group: group.to_owned(), plural: plural.to_owned(), namespaced })
    }
}

/// A kind as a CustomResourceDefinition defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defined {
    /// The kind.
    pub kind: String,
    /// What names it.
    pub naming: Naming,
}

impl Defined {
    /// What `object` defines, if it is a definition.
    pub fn read(object: &Value) -> Option<Self> {
        let (spec, text) = (&object["spec"], |value: &Value| value.as_str().map(str::to_owned));
        (object["kind"] == "CustomResourceDefinition").then_some(())?;
        let (group, plural) = (text(&spec["group"])?, text(&spec["names"]["plural"])?);
        let naming = Naming { group, plural, namespaced: spec["scope"] == "Namespaced" };
        Some(Self { kind: text(&spec["names"]["kind"])?, naming })
    }

    /// Whether it is this kind, in whatever version.
    pub fn is(&self, api_version: &str, kind: &str) -> bool {
        self.naming.group == group(api_version) && self.kind == kind
    }
}

/// The API group of an API version, empty for the core.
pub(super) fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_definition_names_its_kind() {
        let crd = json!({ "kind": "CustomResourceDefinition", "spec": {
            "group": "prsn.io", "scope": "Cluster", "names": { "kind": "MysqlDb", "plural": "mysqldbs" },
        } });
        let defined = Defined::read(&crd).unwrap();
        assert!(defined.is("prsn.io/v2", "MysqlDb") && !defined.is("v1", "MysqlDb"));
        assert_eq!(
            (defined.naming.plural.as_str(), defined.naming.namespaced),
            ("mysqldbs", false)
        );
        assert_eq!(Defined::read(&json!({ "kind": "ConfigMap" })), None);
    }

    #[test]
    fn kinds_of_kubernetes_itself_are_known_in_any_version() {
        for (api_version, kind, expected) in [
            ("v1", "ConfigMap", Some(("", "configmaps", true))),
            ("v1", "Node", Some(("", "nodes", false))),
            ("apps/v1beta7", "Deployment", Some(("apps", "deployments", true))),
            (
                "networking.k8s.io/v1",
                "NetworkPolicy",
                Some(("networking.k8s.io", "networkpolicies", true)),
            ),
            ("v1", "Deployment", None),
            ("prsn.io/v1", "MysqlDb", None),
        ] {
            let known = Naming::builtin(api_version, kind);
            let known = known.as_ref().map(|n| (n.group.as_str(), n.plural.as_str(), n.namespaced));
            assert_eq!(known, expected, "{api_version} {kind}");
        }
    }
}
