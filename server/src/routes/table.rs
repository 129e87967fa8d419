//! The table of routes: each with what it asks of who calls it, and what it takes and answers.

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, on};
use axum::{Router, middleware};
use schemars::SchemaGenerator;

use crate::App;
use crate::access::{Access, guard};
use crate::describe::{Described, Signature};

/// Routes of the API, none of which can be added without saying who may use it.
pub(crate) struct Table {
    app: App,
    router: Router<App>,
    schemas: SchemaGenerator,
    operations: Vec<Operation>,
}

/// One method of one path.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// What it does, in a sentence.
    pub(crate) summary: &'static str,
    pub(crate) access: Access,
    pub(crate) signature: Signature,
}

impl Table {
    pub(crate) fn new(app: App, schemas: SchemaGenerator) -> Self {
        Self { app, router: Router::new(), schemas, operations: Vec::new() }
    }

    /// Adds what `method` does at `path`.
    pub(crate) fn on<H, T, A>(
        mut self,
        method: Method,
        path: &'static str,
        access: Access,
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, App> + Described<A>,
        T: 'static,
    {
        let signature = H::signature(&mut self.schemas);
        let guarded = middleware::from_fn_with_state((self.app.clone(), access), guard);
        // Methods outside of HTTP's own are a defect of the table, told at every start.
        let filter = MethodFilter::try_from(method.clone()).expect("a method of HTTP");
        self.router = self.router.route(path, on(filter, handler).layer(guarded));
        self.operations.push(Operation { method, path, summary, access, signature });
        self
    }

    /// The routes, and what is to be said of them.
    pub(crate) fn finish(self) -> (Router<App>, Vec<Operation>, SchemaGenerator) {
        (self.router, self.operations, self.schemas)
    }
}
