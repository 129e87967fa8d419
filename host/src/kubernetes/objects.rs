//! Objects of one kind: one of them, or all that are selected, page by page.

use model::{Timestamp, Value};

use super::request::Answer;
use super::{Cluster, Failure, Request, Resource, numbers};

/// What an answer is to be that holds the metadata of one object alone.
pub(super) const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// Some objects of a kind.
#[derive(Debug, Clone, Copy)]
pub struct Selected<'a> {
    /// The kind.
    pub resource: &'a Resource,
    /// The namespace; none: all.
    pub namespace: Option<&'a str>,
    /// A selector of labels.
    pub labels: Option<&'a str>,
    /// A selector of fields.
    pub fields: Option<&'a str>,
    /// Whether nothing but the metadata is wanted.
    pub metadata_only: bool,
}

/// A page of objects.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// The objects. In lists they don't say of what kind they are; here they do.
    pub objects: Vec<Value>,
    /// The version of the list as a whole: where a watch goes on.
    pub version: String,
    /// What asks for the next page; none: this is the last one.
    pub next: Option<String>,
    /// How many objects come after this page, where the API server says so.
    pub remaining: Option<usize>,
    /// Whether an object is nested deeper than can be read: what lies too deep is null.
    pub pruned: bool,
    /// When the API server answered, by its own clock, where it says so.
    pub at: Option<Timestamp>,
}

impl<'a> Selected<'a> {
    /// All objects of a kind.
    pub fn all(resource: &'a Resource) -> Self {
        Self { resource, namespace: None, labels: None, fields: None, metadata_only: false }
    }

    pub(super) fn request(&self) -> Request {
        Request::get(&self.resource.collection(self.namespace))
            .with_some("labelSelector", self.labels)
            .with_some("fieldSelector", self.fields)
    }
}

impl Cluster {
    /// One object.
    pub async fn get(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Value, Failure> {
        self.request(&Request::get(&resource.object(namespace, name, None))).await
    }

    /// One object, if it is there.
    pub async fn find(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, Failure> {
        match self.get(resource, namespace, name).await {
            Err(failure) if failure.is_not_found() => Ok(None),
            found => found.map(Some),
        }
    }

    /// The object of this name where `selected` looks for it, if it is there, chosen or not: as much of it
    /// as `selected` asks for. However deep it is nested: what lies too deep to be read is null.
    pub async fn find_pruned(
        &self,
        selected: &Selected<'_>,
        name: &str,
    ) -> Result<Option<Value>, Failure> {
        let mut request = Request::get(&selected.resource.object(selected.namespace, name, None));
        if selected.metadata_only {
            request.accept = METADATA;
        }
        let mut object = match self.request_pruned(&request, numbers::LEVELS).await {
            Err(failure) if failure.is_not_found() => return Ok(None),
            found => found?.value,
        };
        complete(&mut object, selected.resource);
        Ok(Some(object))
    }

    /// At most `limit` of the selected objects: the first, or those at `next`. All pages of a list
    /// are of one moment.
    pub async fn list(
        &self,
        selected: &Selected<'_>,
        limit: usize,
        next: Option<&str>,
    ) -> Result<Listed, Failure> {
        let mut request = selected.request().with("limit", limit).with_some("continue", next);
        if selected.metadata_only {
            request.accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        }
        // Each object lies two levels deep.
        let answer = self.request_pruned(&request, numbers::LEVELS + 2).await?;
        let Answer { value: mut listed, pruned, at } = answer;
        if !is_list(&listed) {
            // A proxy's page is not an empty list.
            return Err(Failure::no_list());
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, next) =
            (text(&listed["metadata"]["resourceVersion"]), text(&listed["metadata"]["continue"]));
        let remaining = listed["metadata"]["remainingItemCount"].as_u64();
        let mut objects = match listed["items"].take() {
            Value::Array(objects) => objects,
            _ => Vec::new(),
        };
        for object in &mut objects {
            complete(object, selected.resource);
        }
        let next = Some(next).filter(|next| !next.is_empty());
        let remaining = remaining.and_then(|count| usize::try_from(count).ok());
        Ok(Listed { objects, version, next, remaining, pruned, at })
    }
}

fn is_list(answer: &Value) -> bool {
    let kind = answer["kind"].as_str().unwrap_or_default();
    kind.ends_with("List") && answer["metadata"]["resourceVersion"].is_string()
}

/// Says of what kind an object is.
pub(super) fn complete(object: &mut Value, resource: &Resource) {
    if let Value::Object(fields) = object {
        fields.insert("apiVersion".to_owned(), resource.api_version.clone().into());
        fields.insert("kind".to_owned(), resource.kind.clone().into());
    }
}
