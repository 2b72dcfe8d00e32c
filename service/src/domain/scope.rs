//! What an API key may do.

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantArray)]
pub enum Scope {
    #[strum(serialize = "payments:read")]
    PaymentsRead,
    /// Create, capture, and void payments.
    #[strum(serialize = "payments:write")]
    PaymentsWrite,
    #[strum(serialize = "refunds:write")]
    RefundsWrite,
}

impl Scope {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
