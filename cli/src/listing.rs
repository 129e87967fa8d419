//! Listings that come page by page: newest first, or by name.

use model::Value;

use crate::client::{Client, items};
use crate::failure::Failure;
use crate::output;

/// Rows of each answer after the first: as many as one may hold.
const FOLLOWING: usize = 1_000;

/// Rows of a listing, and where it goes on, if it does.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Value>,
    next: Option<String>,
}

impl Page {
    /// All rows at `path`, newest first.
    pub(crate) async fn all(
        client: &Client,
        path: &str,
        query: Vec<(&str, String)>,
    ) -> Result<Vec<Value>, Failure> {
        Ok(Self::newest(client, path, query, usize::MAX).await?.rows)
    }

    /// The newest rows at `path`: `limit` of them, if the token sees so many.
    pub(crate) async fn newest(
        client: &Client,
        path: &str,
        query: Vec<(&str, String)>,
        limit: usize,
    ) -> Result<Self, Failure> {
        Self::first(client, path, "before", query, limit).await
    }

    /// The rows at `path` in the order of their names: `limit` of them, if the token sees so many.
    pub(crate) async fn by_name(
        client: &Client,
        path: &str,
        query: Vec<(&str, String)>,
        limit: usize,
    ) -> Result<Vec<Value>, Failure> {
        Ok(Self::first(client, path, "after", query, limit).await?.rows)
    }

    /// The first rows at `path`, the rest of which are those `beyond` the last. An answer lacks what the
    /// token may not see, so that the next one is asked for too.
    async fn first<'a>(
        client: &Client,
        path: &str,
        beyond: &'a str,
        mut query: Vec<(&'a str, String)>,
        limit: usize,
    ) -> Result<Self, Failure> {
        query.push(("limit", limit.min(FOLLOWING).to_string()));
        let mut page = Self::default();
        loop {
            let mut list: Value = client.get(path, &query).await?;
            page.rows.extend(items(&mut list)?);
            page.next = cursor(&list["next"]);
            let Some(next) = page.next.clone().filter(|_| page.rows.len() < limit) else {
                return Ok(page.cut(limit));
            };
            query.retain(|(name, _)| ![beyond, "limit"].contains(name));
            query.extend([(beyond, next), ("limit", FOLLOWING.to_string())]);
        }
    }

    fn cut(mut self, limit: usize) -> Self {
        if self.rows.len() > limit {
            self.rows.truncate(limit);
            self.next = self.rows.last().and_then(|last| cursor(&last["position"]));
        }
        self
    }

    /// Says how to go on where there may be more.
    pub(crate) fn more(&self) {
        if let Some(next) = &self.next {
            output::tell(&format!("there may be more: --before {next}"));
        }
    }
}

/// A position or a name, as a query says it.
fn cursor(next: &Value) -> Option<String> {
    match next {
        Value::String(name) => Some(name.clone()),
        Value::Number(position) => Some(position.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::client::items;

    #[test]
    fn what_has_no_list_in_it_is_no_empty_listing() {
        assert_eq!(items(&mut json!({ "items": [1] })).unwrap(), [1]);
        for other in [json!({ "p": [] }), json!([]), json!("hello"), json!({ "items": {} })] {
            let failure = format!("{:?}", items(&mut other.clone()).unwrap_err());
            assert!(failure.contains("no listing"), "{failure}");
        }
    }
}
