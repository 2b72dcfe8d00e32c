//! The handles that a step takes, by name. Steps with one or two needs of different types take a tuple instead.

use super::fact;
use crate::{
    engine::{After, Facts, Handle, Needs},
    phase::{
        apps::ReleaseInput,
        argocd::{GrantInput, RegisterInput},
        terraform::ClusterInput,
    },
    step::StepId,
};

/// Declares a struct of handles whose facts become the fields of the same names of a step's input.
///
/// `after` orders the step behind others without taking their facts.
macro_rules! named_needs {
    ($(#[$doc:meta])* $name:ident => $input:ident { $($field:ident: $need:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub(super) struct $name {
            $(pub $field: $need,)*
            pub after: After,
        }

        impl Needs for $name {
            type Input = $input;

            fn ids(&self, into: &mut Vec<StepId>) {
                $(self.$field.ids(into);)*
                self.after.ids(into);
            }

            fn soft(&self, into: &mut Vec<StepId>) {
                $(self.$field.soft(into);)*
                self.after.soft(into);
            }

            fn take(&self, facts: &Facts) -> Option<Self::Input> {
                Some($input { $($field: self.$field.take(facts)?,)* })
            }
        }
    };
}

named_needs! {
    ClusterNeeds => ClusterInput {
        foundation: Handle<fact::Foundation>,
        hub_foundation: Option<Handle<fact::Foundation>>,
        preflight: Handle<fact::Preflight>,
    }
}

named_needs! {
    GrantNeeds => GrantInput {
        access: Handle<fact::Access>,
        hub_access: Handle<fact::Access>,
    }
}

named_needs! {
    RegisterNeeds => RegisterInput {
        access: Handle<fact::Access>,
        hub_access: Handle<fact::Access>,
        granted: Handle<fact::Granted>,
        argo_cd: Handle<fact::ArgoCd>,
    }
}

named_needs! {
    /// `after` is the manifests, the region's add-ons and, in an ordered rollout, the release of the region
    /// before this one.
    ReleaseNeeds => ReleaseInput {
        access: Handle<fact::Access>,
        hub_access: Handle<fact::Access>,
        preflight: Handle<fact::Preflight>,
        registered: Handle<fact::Registered>,
        foundation: Handle<fact::Foundation>,
        image: Handle<fact::Image>,
        secrets: Handle<fact::Secrets>,
        database: Handle<fact::Database>,
        certificate: Handle<fact::Certificate>,
    }
}
