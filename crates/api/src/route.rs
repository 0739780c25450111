//! A path and the methods that it knows.

use crate::kit::error::Problem;
use crate::middleware::observe::{Around, Observe};
use crate::state::Api;
use actix_web::dev::HttpServiceFactory;
use actix_web::{FromRequest, Handler, Resource, Responder, Route, web};
use config::BODY_BYTES_MAX;

/// A path, the methods that it knows, and everything that goes around each route: made here so that no route lacks it.
pub struct Endpoint {
    pub(crate) path: &'static str,
    resource: Resource,
    pub(crate) methods: Vec<&'static str>,
    body_bytes_max: usize,
    sign_in: bool,
}

impl Endpoint {
    pub fn at(path: &'static str) -> Endpoint {
        let (resource, methods) = (web::resource(path), Vec::new());
        Endpoint { path, resource, methods, body_bytes_max: BODY_BYTES_MAX, sign_in: false }
    }

    /// The same, with a slash behind the path or without.
    pub fn at_slash_or_not(path: &'static str) -> Endpoint {
        let paths = [path.to_owned(), format!("{path}/")];
        Endpoint { resource: web::resource(paths.to_vec()), ..Endpoint::at(path) }
    }

    /// GET, and HEAD, which is the same without the body.
    pub fn get<F, Args>(self, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("GET", web::get(), handler.clone()).on("HEAD", web::head(), handler)
    }

    pub fn post<F, Args>(self, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("POST", web::post(), handler)
    }

    pub fn patch<F, Args>(self, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("PATCH", web::patch(), handler)
    }

    pub fn put<F, Args>(self, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("PUT", web::put(), handler)
    }

    pub fn delete<F, Args>(self, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("DELETE", web::delete(), handler)
    }

    /// Larger bodies than elsewhere.
    pub fn body_bytes_max(mut self, bytes: usize) -> Endpoint {
        self.body_bytes_max = bytes;
        self
    }

    /// Its POST costs a password's hash: less often than elsewhere.
    pub fn sign_in(mut self) -> Endpoint {
        self.sign_in = true;
        self
    }

    fn on<F, Args>(mut self, method: &'static str, route: Route, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push(method);
        self.resource = self.resource.route(route.to(handler));
        self
    }

    pub(crate) fn service(self, api: &web::Data<Api>) -> impl HttpServiceFactory + 'static {
        // One string per path and process start: the routes live as long as the server.
        let allow: &'static str = [&self.methods[..], &["OPTIONS"]].concat().join(", ").leak();
        let refuse = move || async move { Err::<String, _>(Problem::method_not_allowed(allow)) };
        let around = Around { path: self.path, allow, body_bytes_max: self.body_bytes_max, sign_in: self.sign_in };
        self.resource.default_service(web::to(refuse)).wrap(Observe::new(around, api))
    }
}
