//! Tokens of service accounts that expire when a test wants them to.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::{ADMIN, Cluster, identity};

/// How much longer than it says the API server takes a token.
const LEEWAY: Duration = Duration::from_secs(60);

impl Cluster {
    /// A token of this service account, which is made if it is missing. The API server itself gives
    /// none that lives under ten minutes. This one is taken for `lifetime` (a day at most), and where
    /// it was shown before for up to ten seconds more: so long the API server remembers an answer.
    pub async fn account_token(
        &self,
        namespace: &str,
        account: &str,
        lifetime: Duration,
    ) -> Result<String> {
        let uid = uid(self.client(ADMIN).await?, namespace, account).await?;
        let claims = claims(namespace, account, &uid, lifetime)?;
        sign(&claims, &self.folder().join(identity::SIGNING_KEY))
    }
}

async fn uid(client: Client, namespace: &str, account: &str) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
    let metadata = ObjectMeta { name: Some(account.to_owned()), ..ObjectMeta::default() };
    let new = ServiceAccount { metadata, ..ServiceAccount::default() };
    let found = match accounts.create(&PostParams::default(), &new).await {
        Err(kube::Error::Api(status)) if status.code == 409 => accounts.get(account).await?,
        made => made?,
    };
    found.metadata.uid.context("an account without a uid")
}

#[expect(clippy::disallowed_methods, reason = "the API server goes by the machine's clock")]
fn claims(namespace: &str, account: &str, uid: &str, lifetime: Duration) -> Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let issued = now.saturating_sub(Duration::from_secs(3600)).as_secs();
    let expires = (now + lifetime).saturating_sub(LEEWAY).as_secs();
    Ok(json!({
        "iss": identity::ISSUER,
        "aud": [identity::ISSUER],
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
        "iat": issued,
        "nbf": issued,
        "exp": expires,
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": {"name": account, "uid": uid},
        },
    }))
}

/// RFC 7519, with ES256.
fn sign(claims: &Value, key: &Path) -> Result<String> {
    let pem = fs::read_to_string(key).with_context(|| key.display().to_string())?;
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, &STANDARD.decode(der)?)?;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes());
    let signature = signature.map_err(|_| anyhow!("the token could not be signed"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
