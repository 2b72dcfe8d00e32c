//! The class of an API server's error.

use kube::core::Status;

use super::bearer::Carried;
use crate::{
    task::{Class, Error},
    web_proxy,
};

/// A client's error as a step's error, with the API server's own message.
pub fn classify(error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => from_status(&status),
        kube::Error::Service(source) => match source.downcast::<Carried>() {
            Ok(carried) => {
                let Carried { class, message, hint } = *carried;
                Error { hint, ..Error::msg(class, message) }
            }
            Err(source) => {
                let hint = web_proxy::hint(&*source);
                Error { hint, ..Error::new(Class::Transient, anyhow::Error::from_boxed(source)) }
            }
        },
        error @ (kube::Error::HyperError(_) | kube::Error::ReadEvents(_)) => {
            Error { hint: web_proxy::hint(&error), ..Error::new(Class::Transient, error) }
        }
        error => Error::new(Class::Permanent, error),
    }
}

fn from_status(status: &Status) -> Error {
    let message = match (status.message.trim(), status.reason.trim()) {
        ("", "") => format!("the API server returned status {}", status.code),
        ("", reason) => reason.to_owned(),
        (message, _) => message.to_owned(),
    };
    let error = Error::msg(class(status), message);
    match status.code {
        401 => error.with_hint(
            "run `paydeploy phase terraform`: the cluster's stack creates this IAM principal's access entry",
        ),
        403 => error.with_hint("allow it in the access entry of this IAM principal in the cluster"),
        _ => error,
    }
}

fn class(status: &Status) -> Class {
    match status.code {
        408 => Class::Transient,
        // A 500 is often a webhook that does not answer yet.
        code if Class::is_transient_status(code) => Class::Transient,
        409 => Class::Conflict,
        // A terminating namespace can be created again once it is deleted.
        403 if status.message.contains("is being terminated") => Class::Transient,
        // 401 and other 403 are permanent here: `admission` has made those of a new access entry transient.
        _ => Class::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(code: u16, message: &str) -> Error {
        classify(kube::Error::Api(Status::failure(message, "Reason").with_code(code).boxed()))
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_the_connection_to_a_cluster_is_named() {
        let asked = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let shared = asked.clone();
        let proxy = crate::testing::serve(move |request| {
            *shared.lock().unwrap() = format!("{} {}", request.method, request.path);
            crate::testing::Response::new(403, "")
        })
        .await;
        let mut config = kube::Config::new("https://cluster.example".parse().unwrap());
        config.proxy_url = Some(format!("http://{proxy}").parse().unwrap());
        let error = kube::Client::try_from(config).unwrap().apiserver_version().await.unwrap_err();
        assert_eq!(*asked.lock().unwrap(), "CONNECT cluster.example:443");
        let error = classify(error);
        assert_eq!(error.class, Class::Transient, "{error}");
        assert!(error.hint.unwrap().contains("does not let the connection through"));
    }

    #[test]
    fn errors_that_pass_by_themselves_are_transient() {
        for code in [429, 500, 502, 503, 504] {
            assert_eq!(classified(code, "no").class, Class::Transient, "{code}");
        }
        assert_eq!(classify(kube::Error::Service("connection refused".into())).class, Class::Transient);
        let terminating = "unable to create new content in namespace x because it is being terminated";
        assert_eq!(classified(403, terminating).class, Class::Transient);
    }

    #[test]
    fn a_refusal_is_permanent_and_has_a_fix() {
        for code in [401, 403] {
            let error = classified(code, "secrets is forbidden");
            assert_eq!(error.class, Class::Permanent);
            assert!(error.hint.is_some());
        }
        for code in [400, 404, 422, 501] {
            assert_eq!(classified(code, "no").class, Class::Permanent, "{code}");
        }
    }

    #[test]
    fn an_existing_object_is_a_conflict() {
        assert_eq!(classified(409, "already exists").class, Class::Conflict);
    }

    #[test]
    fn the_api_servers_message_is_not_repeated() {
        assert_eq!(classified(422, "spec is wrong").to_string(), "spec is wrong");
        assert_eq!(classified(503, "").to_string(), "Reason");
    }

    #[test]
    fn a_failure_to_sign_keeps_its_class_and_fix() {
        let unsigned = Carried::from(Error::permanent("no credentials").with_hint("log in"));
        let error = classify(kube::Error::Service(unsigned.into()));
        assert_eq!((error.class, error.to_string()), (Class::Permanent, "no credentials".to_owned()));
        assert_eq!(error.hint.as_deref(), Some("log in"));
    }
}
