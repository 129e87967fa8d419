//! The servers of a cluster: what each is started with, and what it answers once it is ready.

use std::fs;

use anyhow::Result;

use crate::plan::Plan;
use crate::{Group, Parts, Server, identity};

/// The file that a cluster holds a lock on. What its pods run outlives the kubelet, and ends when the
/// lock is gone.
pub(crate) const ALIVE: &str = "alive";

/// A server of a cluster, in the order in which they start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// etcd, which holds what the API server knows.
    Etcd,
    /// The API server.
    Api,
    /// The controllers: Deployments, Jobs, namespaces, service accounts and what else there is.
    Controllers,
    /// The scheduler, which gives pods to nodes.
    Scheduler,
    /// kwok, whose node's pods become what their labels say, and run nothing.
    Kwok,
    /// The stand-in kubelet, whose node runs the commands of its pods' containers as processes.
    Kubelet,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 6] =
        [Self::Etcd, Self::Api, Self::Controllers, Self::Scheduler, Self::Kwok, Self::Kubelet];

    pub(crate) fn group(self) -> Group {
        match self {
            Self::Etcd | Self::Api | Self::Controllers | Self::Scheduler => Group::Kubernetes,
            Self::Kwok => Group::Kwok,
            Self::Kubelet => Group::Kubelet,
        }
    }

    pub(crate) fn server(self, plan: &Plan) -> Result<Server> {
        match self {
            Self::Etcd => etcd(plan),
            Self::Api => api(plan),
            Self::Controllers => controllers(plan),
            Self::Scheduler => scheduler(plan),
            Self::Kwok => kwok(plan),
            Self::Kubelet => kubelet(plan),
        }
    }
}

fn etcd(plan: &Plan) -> Result<Server> {
    let (client, peer) = (plan.etcd(), plan.peer());
    let arguments = vec![
        plan.flag("data-dir", "etcd"),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // Its process may die here, the machine does not.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    let program = Group::Kubernetes.program("etcd")?;
    Ok(Server::new(program, arguments, format!("{client}/health"), plan.folder()))
}

fn api(plan: &Plan) -> Result<Server> {
    let mut arguments = vec![
        format!("--etcd-servers={}", plan.etcd()),
        format!("--secure-port={}", plan.port(Part::Api)),
        "--bind-address=127.0.0.1".to_owned(),
        plan.flag("cert-dir", "certs"),
        format!("--service-account-issuer={}", identity::ISSUER),
        plan.flag("service-account-key-file", "sa.pub"),
        plan.flag("service-account-signing-key-file", identity::SIGNING_KEY),
        "--authorization-mode=RBAC".to_owned(),
        plan.flag("token-auth-file", "tokens.csv"),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
    ];
    if plan.parts() == Parts::Bare {
        // Nobody is there who would make the accounts that it asks for.
        arguments.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    let program = Group::Kubernetes.program("kube-apiserver")?;
    Ok(Server::new(program, arguments, format!("{}/readyz", plan.api()), plan.folder()))
}

fn controllers(plan: &Plan) -> Result<Server> {
    let more = [
        plan.flag("service-account-private-key-file", identity::SIGNING_KEY),
        plan.flag("root-ca-file", identity::CA),
    ];
    controller(plan, Part::Controllers, "kube-controller-manager", more.to_vec())
}

fn scheduler(plan: &Plan) -> Result<Server> {
    controller(plan, Part::Scheduler, "kube-scheduler", Vec::new())
}

/// What both have in common: they act as the admin, alone, and tell only how they are.
fn controller(plan: &Plan, part: Part, name: &str, more: Vec<String>) -> Result<Server> {
    let mut arguments = vec![
        plan.flag("kubeconfig", identity::ADMIN_KUBECONFIG),
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", plan.port(part)),
        plan.flag("cert-dir", name),
        "--authorization-always-allow-paths=/healthz,/readyz,/livez".to_owned(),
        // A test waits for each of their requests.
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
    ];
    arguments.extend(more);
    let ready = format!("https://127.0.0.1:{}/healthz", plan.port(part));
    Ok(Server::new(Group::Kubernetes.program(name)?, arguments, ready, plan.folder()))
}

fn kwok(plan: &Plan) -> Result<Server> {
    fs::write(plan.file("stages.yaml"), include_str!("../kwok/stages.yaml"))?;
    write_logs(plan)?;
    let address = format!("127.0.0.1:{}", plan.port(Part::Kwok));
    let arguments = vec![
        plan.flag("kubeconfig", identity::ADMIN_KUBECONFIG),
        plan.flag("config", "stages.yaml"),
        plan.flag("config", "logs.yaml"),
        // Not every node: the others' pods are run by whom they belong to.
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake".to_owned(),
        // Its own choice lies within what services have.
        "--cidr=10.244.0.1/16".to_owned(),
        "--node-lease-duration-seconds=40".to_owned(),
        format!("--server-address={address}"),
        "--node-ip=127.0.0.1".to_owned(),
        format!("--node-port={}", plan.port(Part::Kwok)),
        // The API server asks for logs over TLS, whatever the certificate.
        plan.flag("tls-cert-file", identity::CA),
        plan.flag("tls-private-key-file", "certs/apiserver.key"),
    ];
    let program = Group::Kwok.program("kwok")?;
    Ok(Server::new(program, arguments, format!("http://{address}/healthz"), plan.folder()))
}

/// What all of kwok's pods have printed, in this run and in the one before.
fn write_logs(plan: &Plan) -> Result<()> {
    let stamp = "1970-01-01T00:00:00Z stdout F";
    let log = plan.file("kwok-pods.log");
    fs::write(&log, format!("{stamp} starting\n{stamp} nothing is run on this node\n"))?;
    let log = log.display();
    let logs = format!(
        r#"apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterLogs
metadata: {{ name: all }}
spec: {{ logs: [{{ logsFile: "{log}", previousLogsFile: "{log}" }}] }}
"#
    );
    Ok(fs::write(plan.file("logs.yaml"), logs)?)
}

fn kubelet(plan: &Plan) -> Result<Server> {
    let arguments = vec![
        plan.flag("kubeconfig", identity::ADMIN_KUBECONFIG),
        plan.flag("folder", "pods"),
        plan.flag("alive", ALIVE),
        format!("--port={}", plan.port(Part::Kubelet)),
    ];
    let ready = format!("https://127.0.0.1:{}/healthz", plan.port(Part::Kubelet));
    Ok(Server::new(Group::Kubelet.program("kubelet")?, arguments, ready, plan.folder()))
}
