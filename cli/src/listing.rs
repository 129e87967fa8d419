//! Listings that come page by page, newest first.

use model::Value;

use crate::client::Client;
use crate::failure::Failure;
use crate::output;

/// Rows of each answer after the first: as many as one may hold.
const FOLLOWING: usize = 1_000;

/// Rows of a listing, and before which position it goes on, if it does.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Value>,
    next: Option<u64>,
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

    /// The newest rows at `path`: `limit` of them, if the token sees so many. An answer lacks what
    /// it may not see, so that the next one is asked for too.
    pub(crate) async fn newest(
        client: &Client,
        path: &str,
        mut query: Vec<(&str, String)>,
        limit: usize,
    ) -> Result<Self, Failure> {
        query.push(("limit", limit.min(FOLLOWING).to_string()));
        let mut page = Self::default();
        loop {
            let mut list: Value = client.get(path, &query).await?;
            if let Value::Array(items) = list["items"].take() {
                page.rows.extend(items);
            }
            page.next = list["next"].as_u64();
            let Some(next) = page.next.filter(|_| page.rows.len() < limit) else {
                return Ok(page.cut(limit));
            };
            query.retain(|(name, _)| !["before", "limit"].contains(name));
            query.extend([("before", next.to_string()), ("limit", FOLLOWING.to_string())]);
        }
    }

    fn cut(mut self, limit: usize) -> Self {
        if self.rows.len() > limit {
            self.rows.truncate(limit);
            self.next = self.rows.last().and_then(|last| last["position"].as_u64());
        }
        self
    }

    /// Says how to go on where there may be more.
    pub(crate) fn more(&self) {
        if let Some(next) = self.next {
            output::tell(&format!("there may be more: --before {next}"));
        }
    }
}
