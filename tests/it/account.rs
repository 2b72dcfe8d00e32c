//! An AWS account without the sandbox: only the sandbox's AWS simulator. All tests of this process share it; each test
//! has its own credentials, so that it can distinguish its own calls from those of others.

use std::{
    io::{self, BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::world::text;

/// The account that the simulator represents. Credentials may belong to another one.
pub const OURS: &str = "123456789012";

const SANDBOX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sandbox/sandbox");

pub struct Account {
    pub endpoint: String,
    _processes: [Child; 2],
}

/// Credentials as a user has them in the environment.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    pub id: String,
    pub secret: String,
    pub session: Option<String>,
}

/// The account; the first call starts it.
pub fn account() -> &'static Account {
    static ACCOUNT: LazyLock<Account> = LazyLock::new(Account::start);
    &ACCOUNT
}

impl Account {
    fn start() -> Self {
        let mut aws = Command::new(SANDBOX);
        aws.args(["aws", "--listen", "127.0.0.1:0"]);
        // Some tests have more regions than AWS.
        aws.env("MOTO_ALLOW_NONEXISTENT_REGION", "true");
        // In its own process group, because Ctrl-C in the terminal must not end it while tests still use it. Its guard
        // ends it.
        aws.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut aws = aws.spawn().unwrap_or_else(|error| panic!("{SANDBOX}: {error}"));
        let guard = guard(aws.id());

        let mut log = BufReader::new(aws.stderr.take().expect("it is piped"));
        let mut lines = String::new();
        let endpoint = loop {
            let from = lines.len();
            let more = log.read_line(&mut lines).unwrap() > 0;
            assert!(more, "the sandbox's AWS did not start; has tests/setup been run?\n{lines}");
            if let Some(address) = lines[from..].strip_prefix("listening on ") {
                break format!("http://{}", address.trim());
            }
        };
        // The log is discarded, but it has to be read: a full pipe would block the simulator.
        std::thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        Self { endpoint, _processes: [aws, guard] }
    }

    /// A new user of an account, with all rights there.
    pub fn user(&self, name: &str, account: &str) -> Keys {
        self.keys(&json!({ "user": name, "account": account }))
    }

    /// A session of a role.
    pub fn session(&self, role: &str) -> Keys {
        self.keys(&json!({ "role": role }))
    }

    /// An expired session of a role.
    pub fn ended_session(&self, role: &str) -> Keys {
        self.keys(&json!({ "role": role, "expires_in": -1 }))
    }

    fn keys(&self, wanted: &Value) -> Keys {
        let created = self.request(&["-d", &wanted.to_string()], "sessions");
        let field = |name: &str| created[name].as_str().map(str::to_owned);
        let (id, secret) = (field("AccessKeyId").unwrap(), field("SecretAccessKey").unwrap());
        Keys { id, secret, session: field("SessionToken") }
    }

    /// The AWS SDK's configuration for a user of the account.
    pub async fn sdk(&self, keys: &Keys, aws_region: &'static str) -> aws_config::SdkConfig {
        let Keys { id, secret, session } = keys.clone();
        let credentials = aws_credential_types::Credentials::new(id, secret, session, None, "tests");
        aws_config::defaults(aws_config::BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region(aws_config::Region::from_static(aws_region))
            .credentials_provider(credentials)
            .load()
            .await
    }

    /// The AWS CLI. `Value::Null` if it prints nothing.
    pub fn aws(&self, keys: &Keys, aws_region: &str, args: &[&str]) -> Value {
        let mut aws = Command::new("aws");
        aws.env("AWS_ACCESS_KEY_ID", &keys.id).env("AWS_SECRET_ACCESS_KEY", &keys.secret);
        aws.args(["--endpoint-url", &self.endpoint, "--region", aws_region, "--output", "json"]);
        let out = text(aws.args(args));
        if out.trim().is_empty() { Value::Null } else { serde_json::from_str(&out).unwrap() }
    }

    /// The changing calls with an access key, including refused ones.
    pub fn changes_by(&self, key: &str) -> Vec<String> {
        let calls = self.request(&[], "calls?since=0");
        let by_key = calls.as_array().unwrap().iter().filter(|call| call["access_key"] == key);
        by_key.map(Value::to_string).collect()
    }

    /// Creates a hosted zone that no registrar delegates to.
    pub fn zone(&self, name: &str) {
        let by = self.user("network-team", OURS);
        let body = format!(
            "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Name>{name}</Name>\
             <CallerReference>{name}</CallerReference></CreateHostedZoneRequest>"
        );
        let mut curl = Command::new("curl");
        curl.args(["-sSf", "--noproxy", "*", "--aws-sigv4", "aws:amz:us-east-1:route53"]);
        curl.args(["-H", "Content-Type: application/xml"]);
        curl.args(["--user", &format!("{}:{}", by.id, by.secret), "-d", &body]);
        text(curl.arg(format!("{}/2013-04-01/hostedzone", self.endpoint)));
    }

    /// Delays every response of a region until after the test.
    pub fn slow(&self, aws_region: &str) -> Slow<'_> {
        self.add_fault(&json!({ "region": aws_region, "delay": 60, "count": null }));
        Slow { account: self, aws_region: aws_region.to_owned() }
    }

    /// Adds a rule for errors or delays. Other tests share the account, so it must name a region that only one test uses,
    /// or the access key of one of its users.
    pub fn add_fault(&self, rule: &Value) {
        self.request(&["-d", &rule.to_string()], "faults");
    }

    /// Removes the rules that name an access key.
    pub fn clear_faults(&self, key: &str) {
        self.request(&["-X", "DELETE"], &format!("faults?access_key={key}"));
    }

    /// How many calls each rule has matched, in the order in which the rules were added.
    pub fn matched(&self, rule: impl Fn(&Value) -> bool) -> Vec<u64> {
        let rules = self.request(&[], "faults");
        let rules = rules.as_array().unwrap().iter().filter(|one| rule(one));
        rules.filter_map(|one| one["matched"].as_u64()).collect()
    }

    /// Changes what a region offers; see `tests/sandbox/README.md`.
    pub fn change_offers(&self, change: &Value) {
        self.request(&["-d", &change.to_string()], "offers");
    }

    /// The address of one of the sandbox's own pages.
    pub fn page(&self, name: &str) -> String {
        format!("{}/sandbox/{name}", self.endpoint)
    }

    fn request(&self, args: &[&str], page: &str) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sSf", "--noproxy", "*"]).args(args).arg(self.page(page));
        serde_json::from_str(&text(&mut curl)).unwrap()
    }
}

/// A region that does not respond.
pub struct Slow<'a> {
    account: &'a Account,
    aws_region: String,
}

impl Slow<'_> {
    /// How many calls were delayed so far.
    pub fn delayed_calls(&self) -> u64 {
        self.account.matched(|rule| rule["region"] == self.aws_region.as_str()).iter().sum()
    }

    /// Waits until more calls were delayed than `before`.
    pub fn wait_for_another_call(&self, before: u64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.delayed_calls() <= before {
            assert!(Instant::now() < deadline, "no call to `{}`", self.aws_region);
        }
    }
}

/// Ends a process when this one ends for any reason, because that closes the pipe that the guard reads from.
fn guard(process: u32) -> Child {
    let mut guard = Command::new("sh");
    guard.args(["-c", "read -r _; kill \"$0\"", &process.to_string()]);
    guard.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    guard.spawn().unwrap()
}
