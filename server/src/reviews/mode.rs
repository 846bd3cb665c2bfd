//! The settings of admission.

/// What the server does at admission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AdmissionMode {
    /// Nothing: there is no webhook
    #[default]
    Off,
    /// Records who changes a count
    Record,
    /// Also warns users who change a held count
    Warn,
    /// Also keeps counts that are held from being changed
    Guard,
}

impl AdmissionMode {
    /// Whether the server has webhooks.
    pub(crate) fn is_on(self) -> bool {
        self != Self::Off
    }

    /// The name in settings and on the wire.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Record => "record",
            Self::Warn => "warn",
            Self::Guard => "guard",
        }
    }
}

/// Whether users are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum UserNames {
    /// Their names, as the API server names them
    #[default]
    Name,
    /// Nothing about them
    None,
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn each_mode_has_one_name_in_settings_and_on_the_wire() {
        for mode in AdmissionMode::value_variants() {
            let setting = mode.to_possible_value().unwrap();
            assert_eq!(setting.get_name(), mode.label());
            assert_eq!(mode.is_on(), mode.label() != "off");
        }
    }
}
