//! Where credentials come from, who gets them, and a network in which calls go through a proxy.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    account::{OURS, account},
    checkout::{Checkout, TERRAFORM},
    world::{ends_with, printed, text},
};

const PAYDEPLOY: &str = env!("CARGO_BIN_EXE_paydeploy");

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A server that gives every request the same answer, as long as the test's process lives.
fn answering(status: &'static str, kind: &'static str, body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that has gone needs no answer.
            drop(answer(stream, status, kind, body));
        }
    });
    address
}

fn answer(stream: TcpStream, status: &str, kind: &str, body: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.by_ref().take(length).read_to_end(&mut Vec::new())?;
    write!(
        reader.into_inner(),
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// `paydeploy token` of a user with an AWS configuration in a home of its own.
fn token(home: &Path, config: &str) -> Command {
    fs::create_dir_all(home.join(".aws")).unwrap();
    let file = home.join(".aws/config");
    // Only once: others may read it.
    if read(&file) != config {
        fs::write(file, config).unwrap();
    }
    let mut token = Command::new(PAYDEPLOY);
    token.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").env("AWS_EC2_METADATA_DISABLED", "true");
    token.args(["token", "--cluster", "payments-spain", "--aws-region", "eu-south-2"]);
    token
}

/// The URL that a printed token stands for.
fn url_of(printed: &str) -> String {
    let printed: serde_json::Value = serde_json::from_str(printed).unwrap();
    let token = printed["status"]["token"].as_str().unwrap().strip_prefix("k8s-aws-v1.").unwrap();
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap()
}

#[test]
fn a_terraform_borrows_the_credentials_of_its_run_and_finds_none_in_its_environment() {
    let checkout = Checkout::new();
    checkout.rename_project("borrowed");
    let ask = "/bin/sed -n 's/^credential_process = //p' \"$AWS_CONFIG_FILE\"";
    let script = format!("/usr/bin/env >>\"$RAN\"; /bin/sh -c \"$({ask})\" >>\"$RAN\"; exit 1");
    checkout.stand_in("terraform", TERRAFORM, &script);
    let mut run = checkout.command(PAYDEPLOY);
    ends_with(1, run.args(["phase", "terraform", "--region", "spain"]));
    let ran = checkout.ran();
    let (environment, lent) = ran.split_once("{\"Version\"").expect(&ran);
    assert!(lent.contains(&format!("\"AccessKeyId\":\"{}\"", checkout.keys.id)), "{ran}");
    assert!(
        environment.contains("AWS_ENDPOINT_URL=") && environment.contains("AWS_PROFILE=paydeploy"),
        "{ran}"
    );
    assert!(!environment.contains(&checkout.keys.secret), "{ran}");
}

/// What a terraform is lent whose run gets its credentials from the profile `deploy` of a configuration.
fn lent_to_a_child(checkout: &Checkout, config: &str) -> serde_json::Value {
    let ask = "/bin/sed -n 's/^credential_process = //p' \"$AWS_CONFIG_FILE\"";
    checkout.stand_in("terraform", TERRAFORM, &format!("/bin/sh -c \"$({ask})\" >>\"$RAN\"; exit 1"));
    let file = checkout.path("../aws-config");
    fs::write(&file, config).unwrap();
    let mut run = checkout.command(PAYDEPLOY);
    run.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    run.env("AWS_CONFIG_FILE", file).env("AWS_PROFILE", "deploy");
    ends_with(1, run.args(["phase", "terraform", "--region", "spain"]));
    let ran = checkout.ran();
    // Each terraform that is started asks.
    serde_json::Deserializer::from_str(&ran).into_iter().next().unwrap().expect(&ran)
}

/// A program that prints the clone's credentials.
fn login(checkout: &Checkout) -> String {
    let (id, secret) = (&checkout.keys.id, &checkout.keys.secret);
    let answer = format!("{{\"Version\":1,\"AccessKeyId\":\"{id}\",\"SecretAccessKey\":\"{secret}\"}}");
    let program = checkout.path("../login");
    fs::write(&program, format!("echo '{answer}'\n")).unwrap();
    format!("/bin/sh {}", program.display())
}

#[test]
fn the_credentials_of_a_program_are_lent() {
    let checkout = Checkout::new();
    checkout.rename_project("lent-by-program");
    let config = format!("[profile deploy]\ncredential_process = {}\n", login(&checkout));
    assert_eq!(lent_to_a_child(&checkout, &config)["AccessKeyId"], checkout.keys.id);
}

#[test]
fn the_session_of_a_chain_of_roles_is_lent_with_its_end() {
    let checkout = Checkout::new();
    checkout.rename_project("lent-by-chain");
    let team = account().user("team-of-roles", OURS);
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{OURS}:root"}},"Action":"sts:AssumeRole"}}]}}"#
    );
    for role in ["first-of-chain", "last-of-chain"] {
        let create = ["iam", "create-role", "--role-name", role, "--assume-role-policy-document", &trust];
        account().aws(&team, "us-east-1", &create);
        let rights = "arn:aws:iam::aws:policy/AdministratorAccess";
        account().aws(
            &team,
            "us-east-1",
            &["iam", "attach-role-policy", "--role-name", role, "--policy-arn", rights],
        );
    }
    let role = |name: &str| format!("role_arn = arn:aws:iam::{OURS}:role/{name}\nrole_session_name = ana\n");
    let config = format!(
        "[profile person]\ncredential_process = {}\n\
         [profile first]\n{}source_profile = person\n\
         [profile deploy]\n{}source_profile = first\n",
        login(&checkout),
        role("first-of-chain"),
        role("last-of-chain")
    );
    let lent = lent_to_a_child(&checkout, &config);
    assert!(lent["AccessKeyId"].as_str().unwrap().starts_with("ASIA"), "{lent}");
    assert!(lent["SessionToken"].is_string() && lent["Expiration"].is_string(), "{lent}");
}

#[test]
fn many_calls_of_kubectl_ask_a_source_of_credentials_once() {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("asked");
    let answer = r#"{"Version":1,"AccessKeyId":"ASIAX","SecretAccessKey":"x","SessionToken":"y","Expiration":"2099-01-01T00:00:00Z"}"#;
    let program = folder.path().join("portal");
    fs::write(&program, format!("echo asked >>'{}'\necho '{answer}'\n", asked.display())).unwrap();
    let profile =
        |name: &str| format!("[profile {name}]\ncredential_process = /bin/sh {}\n", program.display());
    let config = profile("ana") + &profile("ben");
    let token = |name: &str| {
        let mut token = token(folder.path(), &config);
        token.env("AWS_PROFILE", name).stdout(Stdio::piped());
        token
    };
    // Side by side, as a script starts them.
    let many: Vec<Child> = (0..10).map(|_| token("ana").spawn().unwrap()).collect();
    let many: Vec<String> = many
        .into_iter()
        .map(|one| String::from_utf8(one.wait_with_output().unwrap().stdout).unwrap())
        .collect();
    assert!(many[0].contains("k8s-aws-v1.") && many.iter().all(|one| *one == many[0]), "{many:?}");
    assert_eq!(read(&asked).lines().count(), 1);
    // Another profile has its own.
    text(&mut token("ben"));
    assert_eq!(read(&asked).lines().count(), 2);
}

#[test]
fn a_person_with_an_sso_session_gets_a_token() {
    let home = tempfile::tempdir().unwrap();
    let portal = answering(
        "200 OK",
        "application/json",
        r#"{"roleCredentials":{"accessKeyId":"ASIASSO","secretAccessKey":"x","sessionToken":"y","expiration":4070908800000}}"#,
    );
    let config = "[profile deploy]\nsso_session = company\nsso_account_id = 123456789012\nsso_role_name = deployer\n\
                  [sso-session company]\nsso_region = eu-south-2\nsso_start_url = https://company.awsapps.com/start\n";
    // As `aws sso login` leaves it. Its name is the SHA-1 of the session's name.
    let cache = home.path().join(".aws/sso/cache");
    fs::create_dir_all(&cache).unwrap();
    let session = r#"{"accessToken":"z","expiresAt":"2099-01-01T00:00:00Z","region":"eu-south-2","startUrl":"https://company.awsapps.com/start"}"#;
    let named = text(Command::new("sh").args(["-c", "printf company | sha1sum | cut -d' ' -f1"]));
    fs::write(cache.join(format!("{}.json", named.trim())), session).unwrap();
    let mut token = token(home.path(), config);
    token.env("AWS_PROFILE", "deploy").env("AWS_ENDPOINT_URL_SSO", format!("http://{portal}"));
    let url = url_of(&text(&mut token));
    assert!(url.contains("ASIASSO"), "{url}");
}

#[test]
fn a_person_who_has_logged_in_with_the_console_gets_a_token() {
    let home = tempfile::tempdir().unwrap();
    let session = "arn:aws:sts::123456789012:assumed-role/deployer/ana";
    // As `aws login` leaves it. Its name is the SHA-256 of the session's name.
    let cache = home.path().join(".aws/login/cache");
    fs::create_dir_all(&cache).unwrap();
    let left = r#"{"accessToken":{"accessKeyId":"ASIALOGIN","secretAccessKey":"x","sessionToken":"y","accountId":"123456789012",
        "expiresAt":"2099-01-01T00:00:00Z"},"tokenType":"aws_sigv4","refreshToken":"z","clientId":"c","dpopKey":"k"}"#;
    let named =
        text(Command::new("sh").args(["-c", "printf %s \"$0\" | sha256sum | cut -d' ' -f1", session]));
    fs::write(cache.join(format!("{}.json", named.trim())), left).unwrap();
    let config = format!("[profile deploy]\nlogin_session = {session}\nregion = eu-south-2\n");
    let mut token = token(home.path(), &config);
    let url = url_of(&text(token.env("AWS_PROFILE", "deploy")));
    assert!(url.contains("ASIALOGIN"), "{url}");
}

#[test]
fn a_job_with_a_web_identity_gets_a_token() {
    let home = tempfile::tempdir().unwrap();
    let sts = answering(
        "200 OK",
        "text/xml",
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAWEB</AccessKeyId>\
         <SecretAccessKey>x</SecretAccessKey><SessionToken>y</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
         </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
    );
    let identity = home.path().join("identity");
    fs::write(&identity, "a.b.c").unwrap();
    let mut token = token(home.path(), "");
    token
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", identity)
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/ci");
    token.env("AWS_ROLE_SESSION_NAME", "job-7").env("AWS_ENDPOINT_URL_STS", format!("http://{sts}"));
    let url = url_of(&text(&mut token));
    assert!(url.contains("ASIAWEB"), "{url}");
}

#[test]
fn a_proxy_that_refuses_a_connection_is_named_without_its_password() {
    let checkout = Checkout::new();
    let proxy = answering("403 Forbidden", "text/plain", "");
    let mut status = checkout.command(PAYDEPLOY);
    status.args(["status", "--region", "spain"]).env("AWS_ENDPOINT_URL", "https://aws.company.example");
    status.env("AWS_MAX_ATTEMPTS", "1").env("HTTPS_PROXY", format!("http://ana:a-password@{proxy}"));
    let output = printed(&status.output().unwrap());
    let named = format!("the proxy `{proxy}` (HTTPS_PROXY) does not let the connection through");
    assert!(output.contains(&named) && !output.contains("a-password"), "{output}");
}
