//! Who is let in, and what is answered to what makes no sense.

use std::collections::BTreeMap;

use api::error::ErrorCode;
use api::token::Role;
use http::StatusCode;
use serde_json::{Value, json};

use crate::world::{World, bearer, manifest};

/// A route of the document with its parameters filled in, and the roles that may use it.
struct Route {
    method: String,
    path: String,
    open: bool,
    roles: Vec<String>,
}

fn routes() -> Vec<Route> {
    let document: Value = serde_json::from_str(&server::http::openapi()).unwrap();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{team}", "retail")
            .replace("{repository}", "retail/ghost")
            .replace("{environment}", "ghost")
            .replace("{number}", "1");
        let path: String = path
            .split('/')
            .map(|segment| if segment.starts_with('{') { "ghost" } else { segment })
            .collect::<Vec<_>>()
            .join("/");
        for (method, operation) in operations.as_object().unwrap() {
            let query = match operation["operationId"].as_str().unwrap() {
                "watch" => "?kinds=app",
                "delete_image" => "?reference=1",
                _ => "",
            };
            let roles = operation["x-roles"].as_array().cloned().unwrap_or_default();
            routes.push(Route {
                method: method.to_uppercase(),
                path: format!("{path}{query}"),
                open: operation["security"] == json!([]),
                roles: roles.iter().map(|role| role.as_str().unwrap().to_owned()).collect(),
            });
        }
    }
    routes
}

/// The status alone: what is watched has no end.
async fn status(world: &World, route: &Route, token: Option<&str>) -> StatusCode {
    let authorization = token.map(bearer);
    let headers: Vec<(&str, &str)> =
        authorization.iter().map(|value| ("authorization", value.as_str())).collect();
    let request = world.request(&route.method, &route.path, &headers, "{}".into());
    let mut connection = world.connection(None).await;
    connection.send_request(request).await.unwrap().status()
}

#[tokio::test]
async fn every_role_meets_every_route() {
    let world = World::new().await;
    world.team("retail").await;
    let mut tokens = BTreeMap::new();
    for (name, role, team) in [
        ("viewer", Role::Viewer, None),
        ("developer", Role::Developer, Some("retail")),
        ("operator", Role::Operator, None),
        ("security", Role::Security, None),
        ("admin", Role::Admin, None),
        ("limited", Role::Admin, Some("retail")),
    ] {
        tokens.insert(name, world.token(role, team).await);
    }
    // Last those that would spoil it for the others.
    let mut routes = routes();
    routes.sort_by_key(|route| route.method == "DELETE");
    assert!(routes.len() >= 49, "{}", routes.len());
    for route in &routes {
        let what = format!("{} {}", route.method, route.path);
        let anonymous = status(&world, route, None).await;
        assert_eq!(anonymous != StatusCode::UNAUTHORIZED, route.open, "{what} without token");
        assert_eq!(route.open, route.roles.is_empty(), "{what}: nobody may");
        assert!(route.open || route.roles.iter().any(|role| role == "admin"), "{what}: not admin");
        for (name, token) in &tokens {
            let may = route.open
                || match *name {
                    "limited" => route.roles.iter().any(|role| role == "developer"),
                    name => route.roles.iter().any(|role| role == name),
                };
            let status = status(&world, route, Some(token)).await;
            assert_eq!(status != StatusCode::FORBIDDEN, may, "{what} as {name}: {status}");
            assert!(!status.is_server_error(), "{what} as {name}: {status}");
        }
    }
}

#[tokio::test]
async fn writing_is_nothing_for_viewers() {
    let readers = ["viewer", "security"];
    for route in routes().iter().filter(|route| route.method != "GET") {
        let reader = route.roles.iter().find(|role| readers.contains(&role.as_str()));
        assert_eq!(reader, None, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn strangers_are_turned_away_before_their_body_is_read() {
    let world = World::new().await;
    let answer = world.raw("POST", "/v1/teams", &[], "{ no json").await;
    assert_eq!(answer.error().code, ErrorCode::Unauthenticated);
    assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"freehold\"");
    let admin = bearer(&world.admin);
    for wrong in ["Basic abc", "Bearer", "Bearer x", "Bearer fh_a_b", &admin[..admin.len() - 1]] {
        let answer = world.raw("GET", "/v1/teams", &[("authorization", wrong)], "").await;
        assert_eq!(answer.error().code, ErrorCode::Unauthenticated, "{wrong}");
    }
    let token = format!("{}x", world.admin);
    let answer = world.raw("GET", "/v1/teams", &[("authorization", &bearer(&token))], "").await;
    let secret = world.admin.rsplit('_').next().unwrap();
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(!String::from_utf8_lossy(&answer.body).contains(secret), "it is not repeated");
}

#[tokio::test]
async fn what_makes_no_sense_is_answered_with_what_and_where() {
    let world = World::new().await;
    let authorization = bearer(&world.admin);
    let admin = [("authorization", authorization.as_str())];
    let ask = async |method: &str, path: &str, body: String| {
        let answer = world.raw(method, path, &admin, body).await;
        assert!(answer.revision() > 0, "{path}");
        (answer.status.as_u16(), answer.error())
    };
    let check = async |method: &str, path: &str, body: &str, status: u16, text: &str| {
        let (got, error) = ask(method, path, body.to_owned()).await;
        assert_eq!(got, status, "{method} {path}: {error:?}");
        let shown = format!("{} {}", error.message, error.hint.unwrap_or_default());
        assert!(shown.contains(text), "{method} {path}: {shown}");
    };
    check("GET", "/", "", 404, "/v1/openapi.json").await;
    check("GET", "/v1/nothing", "", 404, "/v1/nothing").await;
    check("GET", "/v1/apps/shop/nothing", "", 404, "").await;
    check("PATCH", "/v1/apps", "", 405, "PATCH").await;
    check("POST", "/v1/apps", "", 405, "POST").await;
    check("POST", "/v1/teams", "{\n \"name\": 7}", 400, "line 2 column").await;
    check("POST", "/v1/teams", "{\"name\": \"retail\"", 400, "EOF").await;
    check("POST", "/v1/teams", "", 400, "missing field `name`").await;
    check("POST", "/v1/teams", "{\"name\": \"No Name\"}", 400, "'N' is not allowed").await;
    check("GET", "/v1/apps/No%20Name", "", 400, "'N' is not allowed").await;
    check("GET", "/v1/apps/%FF", "", 400, "path").await;
    check("GET", "/v1/apps/a/releases/x", "", 404, "no app a").await;
    check("GET", "/v1/instances?enviroment=a", "", 400, "there are: app, environment").await;
    check("GET", "/v1/instances?app=No", "", 400, "not allowed").await;
    check("GET", "/v1/teams?x=1", "", 400, "takes no query").await;
    check("GET", "/v1/events?limit=-1", "", 400, "limit").await;
    check("GET", "/v1/events?since=yesterday", "", 400, "since").await;
    check("GET", "/v1/watch", "", 400, "kinds").await;
    check("GET", "/v1/watch?kinds=app,token", "", 400, "there are: app, certificate").await;
    check("DELETE", "/v1/images/a", "", 400, "reference").await;
    check("DELETE", "/v1/images/A?reference=1", "", 400, "A").await;
    check("PUT", "/v1/registries/a.example", "{\"host\":\"b.example\"}", 400, "b.example").await;

    let headers = [admin[0], ("freehold-revision", "x")];
    let answer = world.raw("GET", "/v1/teams", &headers, "").await;
    assert_eq!(answer.error().code, ErrorCode::Invalid);
    let headers = [admin[0], ("last-event-id", "x")];
    let answer = world.raw("GET", "/v1/watch?kinds=app", &headers, "").await;
    assert_eq!(answer.error().code, ErrorCode::Invalid);
    let answer = world.raw("PATCH", "/v1/teams", &admin, "").await;
    assert!(answer.headers["allow"].to_str().unwrap().contains("POST"), "RFC 9110 §15.5.6");
}

#[tokio::test]
async fn a_body_may_be_a_mebibyte_and_no_byte_more() {
    let world = World::new().await;
    let authorization = bearer(&world.admin);
    let admin = [("authorization", authorization.as_str())];
    let fill = |bytes: usize| {
        let mut body = "{\"name\": \"retail\"}".to_owned();
        body.push_str(&" ".repeat(bytes - body.len()));
        body
    };
    let answer = world.raw("POST", "/v1/teams", &admin, fill(1 << 20)).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let answer = world.raw("POST", "/v1/teams", &admin, fill((1 << 20) + 1)).await;
    assert_eq!((answer.status.as_u16(), answer.error().code), (413, ErrorCode::TooLarge));
}

#[tokio::test]
async fn errors_of_a_manifest_come_as_problems() {
    let world = World::new().await;
    let authorization = bearer(&world.admin);
    let mut manifest = manifest();
    manifest.insert("process".into(), json!({ "port": 70_000 }));
    let body = json!({ "manifest": manifest }).to_string();
    let headers = [("authorization", authorization.as_str())];
    let answer = world.raw("POST", "/v1/deploy", &headers, body).await;
    assert_eq!(answer.error().problems[0].path, "process.port");
}
