//! Keycloak: one real server for all tests of this binary, with a realm for each test.
//!
//! The server trusts `X-Forwarded-*`, as it would behind a proxy, so a test says from which address each of its
//! clients comes. It has no database of its own: what is made there ends with it. Starting takes it about half a
//! minute.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::http::{Answer, client, send};
use super::parts::part;
use super::process::Process;
use super::{folder, free_port, unique};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(180);
/// The bootstrap administrator, name and password alike.
const ADMIN: &str = "admin";
/// Where the browser is sent after a sign-in; nothing listens there.
pub const REDIRECT: &str = "http://127.0.0.1/back";
/// Public client of all realms: code flow, password grant.
pub const APP: &str = "web";
/// Confidential client that may introspect tokens and read events; [`SECRET`] is its secret.
pub const SERVICE: &str = "bartizan";
/// Of [`SERVICE`].
pub const SECRET: &str = "a secret of the service";
/// Home of the owner, and where the thief is; [`NETWORKS`], a file of networks, says whose they are.
pub const OWNER: &str = "198.51.100.7";
pub const THIEF: &str = "203.0.113.9";
pub const NETWORKS: &str = "198.51.100.0,198.51.100.255,64501,Home Net\n203.0.113.0,203.0.113.255,64502,Far Net\n";
/// Event types that Keycloak does not save unless it is told to.
const NOT_BY_DEFAULT: [&str; 4] = ["REFRESH_TOKEN", "REFRESH_TOKEN_ERROR", "INTROSPECT_TOKEN", "INTROSPECT_TOKEN_ERROR"];

/// The server that the tests of this binary share.
pub struct Keycloak {
    /// Its address.
    pub url: String,
    _process: Process,
}

/// Starts the shared server, or finds it started.
pub fn shared() -> &'static Keycloak {
    static SHARED: OnceLock<Keycloak> = OnceLock::new();
    SHARED.get_or_init(Keycloak::start)
}

/// `[keycloak]` of a realm, whose events are of the tenant `tenant`.
pub fn section(realm: &Realm<'_>, tenant: &str, rest: &str) -> String {
    format!(
        "[keycloak]\nurl = \"{}\"\nallow_plaintext = true\nrealms = [{{ name = \"{}\", tenant = \"{tenant}\" }}]\nclient_id = \"{SERVICE}\"\n\
         client_secret_file = \"keycloak.secret\"\n{rest}\n",
        shared().url,
        realm.name
    )
}

/// Starts the forwarder on a daemon's configuration, with positions of its own.
pub fn forward(daemon: &Daemon) -> Process {
    daemon.write("keycloak.secret", SECRET);
    let mut command = Command::new(env!("CARGO_BIN_EXE_bartizan"));
    command.args(["forward", "keycloak", "-c", "bartizan.toml"]).current_dir(&daemon.folder).env("BARTIZAN__DATA_DIR", "forwarded");
    Process::start(&mut command, &daemon.folder.join("forward.log"))
}

/// Tokens of a session.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Access token.
    pub access: String,
    /// Refresh token.
    pub refresh: String,
    /// Session id, as events and the admin API have it.
    pub session: String,
}

impl Tokens {
    /// What a token route answered.
    ///
    /// # Panics
    /// When it refused.
    pub fn of(answer: &Answer) -> Self {
        let (body, text) = (answer.json(), |value: &Value| value.as_str().unwrap_or_default().to_owned());
        assert_eq!(answer.status, 200, "{answer:?}");
        Self { access: text(&body["access_token"]), refresh: text(&body["refresh_token"]), session: text(&body["session_state"]) }
    }
}

impl Keycloak {
    fn start() -> Self {
        let port = free_port();
        let mut command = Command::new(format!("{}/bin/kc.sh", part("KEYCLOAK")));
        command
            .args(["start", "--optimized", "--cache=local", "--http-enabled=true", "--http-host=127.0.0.1", "--hostname-strict=false"])
            .args([&format!("--http-port={port}"), "--proxy-headers=xforwarded"])
            .envs([("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN), ("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN)])
            // Small, and quick to start rather than fast.
            .envs([
                ("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx384m"),
                ("JAVA_OPTS_GC", "-XX:+UseSerialGC"),
                ("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1"),
            ]);
        let mut process = Process::start(&mut command, &folder("keycloak").join("log"));
        let url = format!("http://127.0.0.1:{port}");
        process.wait_for("Keycloak", START, |_| {
            let answer = send(client().get(format!("{url}/realms/master"))).ok()?;
            (answer.status == 200).then_some(())
        });
        Self { url, _process: process }
    }

    fn admin_token(&self) -> String {
        let form = [("grant_type", "password"), ("client_id", "admin-cli"), ("username", ADMIN), ("password", ADMIN)];
        let request = client().post(format!("{}/realms/master/protocol/openid-connect/token", self.url));
        Tokens::of(&send(posted(request, &form)).expect("an answer")).access
    }

    /// A call of the admin API, `path` below `/admin/realms`.
    ///
    /// # Panics
    /// When it is refused.
    pub fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = client().request(method, format!("{}/admin/realms{path}", self.url)).bearer_auth(self.admin_token());
        let answer = send(body.into_iter().fold(request, |request, body| request.json(body))).expect("an answer");
        assert!(answer.status < 300, "{path}: {answer:?}");
        answer
    }

    /// A new realm that saves all events, with the clients [`APP`] and [`SERVICE`].
    pub fn realm(&self, name: &str) -> Realm<'_> {
        let realm = Realm { server: self, name: unique(name) };
        let settings = json!({"realm": realm.name, "enabled": true, "eventsEnabled": true, "adminEventsEnabled": true});
        self.admin(Method::POST, "", Some(&settings));
        let mut events = realm.admin(Method::GET, "/events/config", None).json();
        events["enabledEventTypes"].as_array_mut().expect("types").extend(NOT_BY_DEFAULT.map(Value::from));
        realm.admin(Method::PUT, "/events/config", Some(&events));
        // Who may introspect a token must be in its audience.
        let audience = json!({"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
                              "config": {"included.client.audience": SERVICE, "access.token.claim": "true"}});
        let app = json!({"clientId": APP, "publicClient": true, "directAccessGrantsEnabled": true, "redirectUris": [REDIRECT],
                         "protocolMappers": [audience]});
        realm.admin(Method::POST, "/clients", Some(&app));
        let service = json!({"clientId": SERVICE, "secret": SECRET, "serviceAccountsEnabled": true, "standardFlowEnabled": false});
        realm.admin(Method::POST, "/clients", Some(&service));
        realm.grant_service("view-events");
        realm
    }
}

/// A realm of one test.
pub struct Realm<'a> {
    server: &'a Keycloak,
    /// Its name.
    pub name: String,
}

impl Realm<'_> {
    /// A call of the admin API, `path` below this realm.
    pub fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.server.admin(method, &format!("/{}{path}", self.name), body)
    }

    fn first_id(&self, path: &str) -> String {
        self.admin(Method::GET, path, None).json()[0]["id"].as_str().expect("an id").to_owned()
    }

    /// Gives the service account of [`SERVICE`] a role of the realm's administration, for example `manage-users`.
    pub fn grant_service(&self, role: &str) {
        let service = self.first_id(&format!("/clients?clientId={SERVICE}"));
        let account = self.admin(Method::GET, &format!("/clients/{service}/service-account-user"), None).json();
        let management = self.first_id("/clients?clientId=realm-management");
        let role = self.admin(Method::GET, &format!("/clients/{management}/roles/{role}"), None).json();
        let path = format!("/users/{}/role-mappings/clients/{management}", account["id"].as_str().expect("an id"));
        self.admin(Method::POST, &path, Some(&json!([role])));
    }

    /// A new user; its id.
    pub fn user(&self, name: &str, password: &str) -> String {
        let credentials = json!([{"type": "password", "value": password, "temporary": false}]);
        let user = json!({"username": name, "email": format!("{name}@example.org"), "emailVerified": true, "firstName": name,
                          "lastName": "Example", "enabled": true, "credentials": credentials});
        self.admin(Method::POST, "/users", Some(&user));
        self.first_id(&format!("/users?exact=true&username={name}"))
    }

    /// A call of an OpenID Connect route from an address.
    pub fn openid(&self, route: &str, ip: &str, form: &[(&str, &str)]) -> Answer {
        let request = client().post(format!("{}/realms/{}/protocol/openid-connect/{route}", self.server.url, self.name));
        send(from(ip, posted(request, form))).expect("an answer")
    }

    /// Signs in as a browser does: form, password, code, tokens.
    ///
    /// # Panics
    /// When the password is refused.
    pub fn sign_in(&self, name: &str, password: &str, ip: &str) -> Tokens {
        let answer = self.password_form(name, password, ip);
        let back = answer.headers.get("location").unwrap_or_else(|| panic!("refused: {answer:?}")).to_str().expect("a location");
        let back = reqwest::Url::parse(back).expect("an address");
        let code = back.query_pairs().find(|(key, _)| key == "code").expect("a code").1.into_owned();
        let form = [("grant_type", "authorization_code"), ("client_id", APP), ("code", &code), ("redirect_uri", REDIRECT)];
        Tokens::of(&self.openid("token", ip, &form))
    }

    /// The answer to a filled-in sign-in form: 302 with a code, or the form again.
    pub fn password_form(&self, name: &str, password: &str, ip: &str) -> Answer {
        let url = format!("{}/realms/{}/protocol/openid-connect/auth", self.server.url, self.name);
        let query = query(&[("response_type", "code"), ("client_id", APP), ("redirect_uri", REDIRECT), ("scope", "openid")]);
        let page = send(from(ip, client().get(format!("{url}?{query}")))).expect("the form");
        let cookies: BTreeMap<&str, &str> = page
            .headers
            .get_all("set-cookie")
            .iter()
            .filter_map(|cookie| cookie.to_str().ok()?.split(';').next()?.split_once('='))
            .collect();
        let cookies: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (_, action) = page.body.split_once("action=\"").unwrap_or_else(|| panic!("no form: {page:?}"));
        let action = action.split('"').next().expect("an address").replace("&amp;", "&").replace(PUBLIC, &self.server.url);
        let request = client().post(action).header("cookie", cookies.join("; "));
        send(from(ip, posted(request, &[("username", name), ("password", password)]))).expect("an answer")
    }

    /// Exchanges a refresh token.
    pub fn refresh(&self, token: &str, ip: &str) -> Answer {
        self.openid("token", ip, &[("grant_type", "refresh_token"), ("client_id", APP), ("refresh_token", token)])
    }

    /// Exchanges a refresh token that is taken.
    pub fn refreshed(&self, token: &str, ip: &str) -> Tokens {
        Tokens::of(&self.refresh(token, ip))
    }

    /// Signs out.
    pub fn sign_out(&self, token: &str, ip: &str) {
        let answer = self.openid("logout", ip, &[("client_id", APP), ("refresh_token", token)]);
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// Does the server take an access token for valid?
    pub fn is_active(&self, token: &str) -> bool {
        let form = [("client_id", SERVICE), ("client_secret", SECRET), ("token", token)];
        self.openid("token/introspect", "192.0.2.1", &form).json()["active"] == true
    }

    /// Ids of a user's sessions.
    pub fn sessions(&self, user: &str) -> Vec<String> {
        let sessions = self.admin(Method::GET, &format!("/users/{user}/sessions"), None).json();
        sessions.as_array().expect("a list").iter().filter_map(|session| Some(session["id"].as_str()?.to_owned())).collect()
    }

    /// What the realm saved of users' events, newest first.
    pub fn events(&self) -> Vec<Value> {
        self.admin(Method::GET, "/events?max=1000", None).json().as_array().expect("a list").clone()
    }
}

/// The address under which the proxy would show the server.
const PUBLIC: &str = "https://id.example";

fn from(ip: &str, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    let headers =
        [("x-forwarded-for", ip), ("x-forwarded-proto", "https"), ("x-forwarded-host", "id.example"), ("x-forwarded-port", "443")];
    headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
}

fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn posted(request: reqwest::RequestBuilder, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
    request.header("content-type", "application/x-www-form-urlencoded").body(query(form))
}
