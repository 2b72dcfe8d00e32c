//! The run's side: answers each process of this user with credentials that are valid now.

use std::time::{Duration, SystemTime};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider},
};
use serde::Serialize;
use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixListener, UnixStream},
};

use crate::task::causes;

/// SDKs give a credential process a minute.
const DEADLINE: Duration = Duration::from_secs(45);

/// The output of a credential process, as the AWS SDKs and tools reference defines it; or why there is none.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    #[serde(rename_all = "PascalCase")]
    Lent {
        version: u8,
        access_key_id: String,
        secret_access_key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        session_token: Option<String>,
        /// Without it, an SDK never asks again.
        #[serde(skip_serializing_if = "Option::is_none")]
        expiration: Option<String>,
    },
    Refused {
        error: String,
    },
}

/// Answers until it is dropped.
pub(super) async fn serve(listener: UnixListener, source: Option<SharedCredentialsProvider>) {
    let own = rustix::process::getuid().as_raw();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Most likely no file is left to open: others are closed meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if stream.peer_cred().is_ok_and(|peer| peer.uid() == own) {
            tokio::spawn(answer(stream, source.clone()));
        }
    }
}

async fn answer(mut stream: UnixStream, source: Option<SharedCredentialsProvider>) {
    let provided = async {
        let Some(source) = source else { return Err("no AWS credentials were found".to_owned()) };
        source
            .provide_credentials()
            .await
            .map_err(|error| causes(&error).map(ToString::to_string).collect::<Vec<_>>().join(": "))
    };
    let provided = tokio::time::timeout(DEADLINE, provided).await;
    let answer = match provided.unwrap_or_else(|_| Err("their source does not answer".to_owned())) {
        Ok(credentials) => lent(&credentials),
        Err(error) => Answer::Refused { error },
    };
    if let Ok(text) = serde_json::to_vec(&answer) {
        // A child that has ended meanwhile needs none.
        drop(stream.write_all(&text).await);
    }
}

fn lent(credentials: &Credentials) -> Answer {
    let end = |end: SystemTime| {
        let end = jiff::Timestamp::try_from(end).ok()?;
        Some(end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    };
    Answer::Lent {
        version: 1,
        access_key_id: credentials.access_key_id().to_owned(),
        secret_access_key: credentials.secret_access_key().to_owned(),
        session_token: credentials.session_token().map(str::to_owned),
        expiration: credentials.expiry().and_then(end),
    }
}
