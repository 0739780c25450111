//! Routes: what a handler is reached by, and everything that goes around it.
//!
//! `#[utoipa::path]` above a handler is the only place that says its method and path: [`routes`] takes them from there, and
//! so does the document.

use crate::kit::error::Problem;
use crate::middleware::observe::{Observe, RouteContext};
use crate::state::Api;
use actix_web::dev::HttpServiceFactory;
use actix_web::{FromRequest, Handler, Resource, Responder, web};
use config::BODY_BYTES_MAX;
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::{RefOr, Schema};

/// The routes of a file, by the names of its handlers; what is not as everywhere else stands behind the name:
///
///     pub fn routes() -> Vec<Route> {
///         routes![read, create.body_bytes_max(CHART_BODY_BYTES_MAX)]
///     }
macro_rules! routes {
    ($($handler:ident $(.$option:ident $(::<$type:ty>)? ($($value:expr)?))*),+ $(,)?) => {
        vec![$(
            pastey::paste! { $crate::route::Route::of::<[<__path_ $handler>], _, _>($handler) }
                $(.$option $(::<$type>)? ($($value)?))*
        ),+]
    };
}
pub(crate) use routes;

/// The schemas that a document names.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// A method of a path.
pub struct Route {
    pub path: String,
    pub method: HttpMethod,
    /// What the document says of it, and the schemas that are named there; nothing of what is not for everybody.
    pub document: Option<(Operation, Schemas)>,
    /// Also with a slash behind the path.
    slash_or_not: bool,
    body_bytes_max: usize,
    pub sign_in: bool,
    pub open_always: bool,
    handlers: Vec<(&'static str, actix_web::Route)>,
    /// The types of the handler's arguments.
    #[cfg(test)]
    pub arguments: &'static str,
}

impl Route {
    /// A handler by the document above it.
    pub fn of<Path, F, Args>(handler: F) -> Route
    where
        Path: utoipa::Path + for<'t> Tags<'t> + SchemaReferences,
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let [method] = &Path::methods()[..] else { panic!("{} has one method in each document", Path::path()) };
        let mut operation = Path::operation();
        operation.tags.get_or_insert_default().extend(Path::tags().into_iter().map(str::to_owned));
        let mut schemas = Schemas::new();
        Path::schemas(&mut schemas);
        let route = Route::undocumented(method.clone(), &Path::path(), handler);
        Route { document: Some((operation, schemas)), ..route }
    }

    /// One that stands in no document.
    pub fn undocumented<F, Args>(method: HttpMethod, path: &str, handler: F) -> Route
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let handlers = match method {
            // HEAD is the same without the body.
            HttpMethod::Get => vec![("GET", web::get().to(handler.clone())), ("HEAD", web::head().to(handler))],
            HttpMethod::Post => vec![("POST", web::post().to(handler))],
            HttpMethod::Put => vec![("PUT", web::put().to(handler))],
            HttpMethod::Patch => vec![("PATCH", web::patch().to(handler))],
            HttpMethod::Delete => vec![("DELETE", web::delete().to(handler))],
            HttpMethod::Options | HttpMethod::Head | HttpMethod::Trace => {
                panic!("{path}: handlers are asked with GET, POST, PUT, PATCH or DELETE")
            }
        };
        Route {
            path: path.to_owned(),
            method,
            document: None,
            slash_or_not: false,
            body_bytes_max: BODY_BYTES_MAX,
            sign_in: false,
            open_always: false,
            handlers,
            #[cfg(test)]
            arguments: std::any::type_name::<Args>(),
        }
    }

    /// The document names this schema, too: of events, say, which no media type tells.
    pub fn schema<T: ToSchema>(mut self) -> Route {
        if let Some((_, schemas)) = &mut self.document {
            schemas.push((T::name().into_owned(), T::schema()));
            T::schemas(schemas);
        }
        self
    }

    /// Larger bodies than elsewhere.
    pub fn body_bytes_max(self, bytes: usize) -> Route {
        Route { body_bytes_max: bytes, ..self }
    }

    /// It costs a password's hash: less often than elsewhere.
    pub fn sign_in(self) -> Route {
        Route { sign_in: true, ..self }
    }

    /// Also while the server starts.
    pub fn open_always(self) -> Route {
        Route { open_always: true, ..self }
    }

    /// The same, with a slash behind the path or without.
    pub fn slash_or_not(self) -> Route {
        Route { slash_or_not: true, ..self }
    }
}

/// A path with all of its methods, and everything that goes around each route: made here so that no route lacks it.
pub struct Endpoint {
    path: String,
    resource: Resource,
    methods: Vec<&'static str>,
    body_bytes_max: usize,
    sign_in: bool,
    open_always: bool,
}

impl Endpoint {
    /// The paths of these routes, in the order in which each comes first.
    pub fn of(routes: Vec<Route>) -> Vec<Endpoint> {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for route in routes {
            let known = endpoints.iter().position(|endpoint| endpoint.path == route.path);
            let endpoint = match known {
                Some(index) => endpoints.remove(index),
                None => Endpoint::at(&route),
            };
            endpoints.insert(known.unwrap_or(endpoints.len()), endpoint.with(route));
        }
        endpoints
    }

    fn at(route: &Route) -> Endpoint {
        let path = route.path.clone();
        let resource = match route.slash_or_not {
            true => web::resource(vec![path.clone(), format!("{path}/")]),
            false => web::resource(path.as_str()),
        };
        Endpoint {
            path,
            resource,
            methods: Vec::new(),
            body_bytes_max: BODY_BYTES_MAX,
            sign_in: false,
            open_always: route.open_always,
        }
    }

    fn with(mut self, route: Route) -> Endpoint {
        for (method, handler) in route.handlers {
            self.methods.push(method);
            self.resource = self.resource.route(handler);
        }
        self.body_bytes_max = self.body_bytes_max.max(route.body_bytes_max);
        self.sign_in |= route.sign_in;
        self
    }

    pub(crate) fn service(self, api: &web::Data<Api>) -> impl HttpServiceFactory + 'static {
        // One string per path and process start: the routes live as long as the server.
        let allow: &'static str = [&self.methods[..], &["OPTIONS"]].concat().join(", ").leak();
        let refuse = move || async move { Err::<String, _>(Problem::method_not_allowed(allow)) };
        let context = RouteContext {
            path: self.path.leak(),
            allow,
            body_bytes_max: self.body_bytes_max,
            sign_in: self.sign_in,
            open_always: self.open_always,
        };
        self.resource.default_service(web::to(refuse)).wrap(Observe::new(context, api))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_of_a_path_come_together() {
        async fn nothing() -> String {
            String::new()
        }
        let route = |method, path| Route::undocumented(method, path, nothing);
        let endpoints = Endpoint::of(vec![
            route(HttpMethod::Get, "/a"),
            route(HttpMethod::Post, "/b").sign_in(),
            route(HttpMethod::Post, "/a").body_bytes_max(BODY_BYTES_MAX + 1),
        ]);
        let [a, b] = &endpoints[..] else { panic!("{}", endpoints.len()) };
        assert_eq!((a.path.as_str(), &a.methods[..]), ("/a", &["GET", "HEAD", "POST"][..]));
        assert_eq!((b.path.as_str(), &b.methods[..]), ("/b", &["POST"][..]));
        assert_eq!((a.body_bytes_max, a.sign_in), (BODY_BYTES_MAX + 1, false));
        assert_eq!((b.body_bytes_max, b.sign_in), (BODY_BYTES_MAX, true));
    }
}
