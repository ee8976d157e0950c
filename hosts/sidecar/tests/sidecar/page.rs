//! The page for people, in a headless Chromium that is driven through ChromeDriver.
//!
//! Without `chromedriver` (on Debian: the package chromium-driver) it says that it skips, or fails if
//! `CEDARJIT_REQUIRE_CHROMIUM` is set. `CEDARJIT_SCREENSHOT` names a file for a picture of the page.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::native::{Folder, folder};
use crate::server::Sidecar;

const TOKEN: &str = "a-token-of-the-tests";

/// One has an id that would be a script if it were taken for HTML.
const POLICIES: &str = r#"
@id("team-may-view")
permit (principal in Team::"red", action == Action::"view", resource);
@id("<img src=x onerror=alert(1)>")
forbid (principal, action, resource) when { context.level > 3 };
@id("fails")
forbid (principal, action, resource) when { context.level + 9223372036854775807 > 0 };
@id("nobody")
permit (principal == User::"nobody", action, resource);
"#;

const ARGUMENTS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1100,1900",
];

/// A browser, until it is dropped.
struct Browser {
    driver: Child,
    client: Client,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let path = format!("/session/{}", self.session);
        self.client.request("DELETE", &path, &[], b"");
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    fn start() -> Option<Self> {
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = match driver {
            Ok(driver) => driver,
            Err(error) if std::env::var_os("CEDARJIT_REQUIRE_CHROMIUM").is_none() => {
                eprintln!("SKIPPED: no chromedriver: {error}; install chromium-driver");
                return None;
            }
            Err(error) => panic!("chromedriver: {error}"),
        };
        let said = BufReader::new(driver.stdout.take().expect("a pipe"));
        let port = said.lines().find_map(|line| {
            let line = line.expect("a line");
            let port = line.strip_prefix("ChromeDriver was started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let address = ([127, 0, 0, 1], port.expect("a port")).into();
        let mut client = Client::connect_to(address, "localhost");
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": ARGUMENTS},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = client.post("/session", &capabilities);
        let session: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let session = session["value"]["sessionId"].as_str();
        let session = session.unwrap_or_else(|| panic!("{}", answer.text()));
        Some(Self {
            driver,
            session: session.to_owned(),
            client,
        })
    }

    fn command(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}/{path}", self.session);
        let body = match method {
            "GET" => Vec::new(),
            _ => body.to_string().into_bytes(),
        };
        let json = [("content-type", "application/json")];
        let answer = self.client.request(method, &path, &json, &body);
        let value: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(answer.status, 200, "{path}: {value}");
        value["value"].clone()
    }

    /// What an expression of JavaScript comes to.
    fn value(&mut self, expression: &str) -> Value {
        let script = format!("return {expression};");
        self.command(
            "POST",
            "execute/sync",
            &json!({"script": script, "args": []}),
        )
    }

    fn text(&mut self, selector: &str) -> String {
        let text = format!("document.querySelector({selector:?}).innerText");
        self.value(&text).as_str().expect("a text").to_owned()
    }

    fn element(&mut self, selector: &str) -> String {
        let found = json!({"using": "css selector", "value": selector});
        let element = self.command("POST", "element", &found);
        let id = element.as_object().and_then(|parts| parts.values().next());
        id.and_then(Value::as_str).expect("an element").to_owned()
    }

    /// Types into a field, as a person does.
    fn fill(&mut self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.command("POST", &format!("element/{element}/clear"), &json!({}));
        let keys = json!({ "text": text });
        self.command("POST", &format!("element/{element}/value"), &keys);
    }

    fn click(&mut self, selector: &str) {
        let element = self.element(selector);
        self.command("POST", &format!("element/{element}/click"), &json!({}));
    }

    /// Waits until an expression is true.
    fn wait(&mut self, expression: &str) {
        let started = Instant::now();
        while self.value(expression) != json!(true) {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "never: {expression}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A picture, in the base64 that ChromeDriver gives, as bytes.
fn decoded(base64: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = base64
        .bytes()
        .filter_map(|b| DIGITS.iter().position(|d| *d == b));
    let bits = digits.flat_map(|digit| (0..6).rev().map(move |bit| digit >> bit & 1));
    let bits: Vec<usize> = bits.collect();
    let byte = |bits: &[usize]| bits.iter().fold(0, |byte, bit| byte << 1 | bit) as u8;
    bits.chunks_exact(8).map(byte).collect()
}

fn sidecar() -> (Sidecar, Folder) {
    let folder = folder("page", POLICIES, "[tokens]\nadmin = \"tokens\"\n");
    std::fs::write(folder.join("tokens"), TOKEN).expect("a file");
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |_| {});
    (sidecar, folder)
}

#[test]
fn the_page_tells_nothing_by_itself() {
    let (sidecar, _folder) = sidecar();
    let mut client = Client::connect(sidecar.address);
    for (path, kind) in [
        ("/", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
    ] {
        let answer = client.get(path);
        assert_eq!(answer.status, 200);
        let header = |name| answer.header(name).unwrap_or_default();
        assert!(header("content-type").starts_with(kind), "{path}");
        assert!(header("content-security-policy").starts_with("default-src 'none'"));
        let text = answer.text();
        assert!(
            !text.contains("http://") && !text.contains("https://"),
            "{path} asks others"
        );
    }
    for path in ["/admin/v1/policies", "/admin/v1/state"] {
        assert_eq!(client.get(path).status, 401, "{path}");
    }
    assert_eq!(client.post("/admin/v1/explain", &json!({})).status, 401);
}

#[test]
fn people_see_state_and_policies_and_try_requests() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let (sidecar, _folder) = sidecar();
    // A decision, to be counted.
    let call = json!({"principal": "User::\"x\"", "action": "Action::\"view\"",
                      "resource": "Doc::\"a\"", "context": {"level": 7}});
    Client::connect(sidecar.address).post("/v1/is_authorized", &call);
    let url = format!("http://{}/", sidecar.address);
    browser.command("POST", "url", &json!({ "url": url }));

    // Nothing is shown before there is a token, and a wrong one is told.
    assert_eq!(
        browser.value("document.getElementById('content').hidden"),
        json!(true)
    );
    browser.fill("#token", "not-the-token-at-all");
    browser.click("#login button");
    browser.wait("document.getElementById('message').textContent.includes('token')");
    browser.fill("#token", TOKEN);
    browser.click("#login button");
    browser.wait("!document.getElementById('content').hidden");
    assert_eq!(browser.text("#message"), "");
    let state = browser.text("#state");
    assert!(
        state.contains("Policies\n4") && state.contains("native"),
        "{state}"
    );

    // What is in policies is text and nothing else.
    let rows = browser.text("#policies");
    assert!(rows.contains("<img src=x onerror=alert(1)>"), "{rows}");
    assert_eq!(browser.value("document.images.length"), json!(0));
    let hits = "[...document.querySelectorAll('#policies tr')].map(row => row.cells[2].innerText)";
    assert_eq!(browser.value(hits), json!(["1", "0", "0", "0"]));

    browser.fill("#principal", "User::\"ann\"");
    browser.fill("#action", "Action::\"view\"");
    browser.fill("#resource", "Doc::\"a\"");
    browser.fill("#context", "{\"level\": 1}");
    browser.click("#try button");
    browser.wait("document.querySelector('#answer .decision') !== null");
    let answer = browser.text("#answer");
    for told in [
        "Denied",
        "Policy fails failed and does not count: integer overflow",
        "not satisfied: clause 1 does not hold",
        "not satisfied: it is about other principals",
    ] {
        assert!(answer.contains(told), "{told}: {answer}");
    }
    browser.fill("#context", "{\"level\": 9}");
    browser.click("#try button");
    browser.wait("document.getElementById('answer').innerText.includes('Because of <img')");

    // What is no request is told, and the page goes on.
    browser.fill("#context", "{");
    browser.click("#try button");
    browser.wait("document.getElementById('message').textContent !== ''");
    browser.fill("#context", "{}");
    browser.fill("#principal", "ann");
    browser.click("#try button");
    browser.wait("document.getElementById('message').textContent.includes('principal')");

    // Whoever does not see it finds each field by its name.
    let unnamed = "[...document.querySelectorAll('input, textarea')].filter(it => it.labels.length === 0).length";
    assert_eq!(browser.value(unnamed), json!(0));
    assert_eq!(browser.value("document.documentElement.lang"), json!("en"));

    browser.fill("#principal", "User::\"ann\"");
    browser.fill("#context", "{\"level\": 1}");
    browser.click("#try button");
    browser.wait("document.querySelector('#answer .decision') !== null");
    let picture = browser.command("GET", "screenshot", &Value::Null);
    let picture = decoded(picture.as_str().expect("base64"));
    assert!(picture.starts_with(b"\x89PNG"));
    if let Some(file) = std::env::var_os("CEDARJIT_SCREENSHOT") {
        std::fs::write(file, picture).expect("a picture");
    }
    // Refused tokens and requests are in the browser's log, and nothing else: no violation of the
    // page's own policy, no error of the script.
    let log = browser.command("POST", "se/log", &json!({"type": "browser"}));
    let messages = log.as_array().expect("a log").iter();
    let messages = messages.filter_map(|entry| entry["message"].as_str());
    let odd: Vec<&str> = messages
        .filter(|text| !text.contains("status of 40") && !text.contains("favicon"))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
}
