//! Errors of the command line, in the style of all other errors.

/// The tip of clap that every unknown flag brings. The flag is a typing error far more often than a value.
const VALUE_TIP: &str = "to pass '";

/// Where clap sends the reader of an error, unless it shows the usage. The hint says more.
const HELP_TIP: &str = "For more information";

/// The error of `doctor --timeout`, and the tip for it. Only `doctor` gives its time to `--wait`.
const DOCTOR_TIMEOUT: (&str, &str) =
    ("error: unexpected argument '--timeout' found", "give the time to '--wait', such as '--wait=60s'");

/// Turns the text of clap, without colours, into an error and a hint. `command` is what the arguments name, for an error
/// that shows no usage.
pub(crate) fn explain(rendered: &str, command: &str) -> String {
    let (mut message, mut tips, mut usage) = (Vec::new(), Vec::new(), None);
    for line in rendered.lines() {
        let text = line.trim();
        if let Some(tip) = text.strip_prefix("tip: ") {
            tips.extend((!tip.starts_with(VALUE_TIP)).then(|| tip.to_owned()));
        } else if let Some(words) = text.strip_prefix("Usage: ") {
            usage = Some(words);
            break;
        } else if tips.is_empty() && !text.is_empty() && !text.starts_with(HELP_TIP) {
            message.push(line);
        }
    }
    let command = usage.and_then(command_of).unwrap_or_else(|| command.to_owned());
    let (timeout, wait) = DOCTOR_TIMEOUT;
    if message.first() == Some(&timeout) && command.ends_with(" doctor") {
        tips = vec![wait.to_owned()];
    }
    tips.push(format!("`{command} --help` describes each argument"));
    format!("{}\nhint: {}", message.join("\n"), tips.join("; "))
}

/// The command of a usage line: the words before the first placeholder.
fn command_of(usage: &str) -> Option<String> {
    let is_word = |word: &&str| {
        !word.starts_with('-') && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let words: Vec<_> = usage.split(' ').take_while(is_word).collect();
    (words.len() > 1).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_clap_becomes_an_error_and_a_hint() {
        for (rendered, text) in [
            (
                "error: unexpected argument '-w' found\n\n  tip: to pass '-w' as a value, use '-- -w'\n\nUsage: kubectl \
                 replicas list [OPTIONS] [TARGET]...\n\nFor more information, try '--help'.\n",
                "error: unexpected argument '-w' found\nhint: `kubectl replicas list --help` describes each argument",
            ),
            (
                "error: unexpected argument '--wiat' found\n\n  tip: a similar argument exists: '--wait'\n\nUsage: \
                 kubectl replicas set <TARGET>\n",
                "error: unexpected argument '--wiat' found\nhint: a similar argument exists: '--wait'; `kubectl replicas \
                 set --help` describes each argument",
            ),
            (
                "error: invalid value 'x' for '--output <FORMAT>'\n  [possible values: table]\n\nFor more information\n",
                "error: invalid value 'x' for '--output <FORMAT>'\n  [possible values: table]\nhint: `kubectl replicas get \
                 --help` describes each argument",
            ),
            (
                "error: the following required arguments were not provided:\n  <TARGET>\n\nUsage: kubectl replicas undo --to \
                 <COUNT> <TARGET>\n",
                "error: the following required arguments were not provided:\n  <TARGET>\nhint: `kubectl replicas undo \
                 --help` describes each argument",
            ),
            (
                "error: unexpected argument '--timeout' found\n\n  tip: a similar argument exists: \
                 '--request-timeout'\n\nUsage: kubectl replicas doctor --wait [<DURATION>]\n",
                "error: unexpected argument '--timeout' found\nhint: give the time to '--wait', such as '--wait=60s'; \
                 `kubectl replicas doctor --help` describes each argument",
            ),
            (
                "error: unexpected argument '--timeout' found\n\nUsage: kubectl replicas list [OPTIONS]\n",
                "error: unexpected argument '--timeout' found\nhint: `kubectl replicas list --help` describes each \
                 argument",
            ),
        ] {
            assert_eq!(explain(rendered, "kubectl replicas get"), text);
        }
    }
}
