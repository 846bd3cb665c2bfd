//! The scripts with which shells complete this program when it runs without kubectl.
//!
//! They send the words up to the cursor to the program itself, after `__complete`, as the scripts of cobra do.

/// A shell that has a script.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl Shell {
    /// The script for a program of this name.
    pub(super) fn script(self, program: &str) -> String {
        let script = match self {
            Self::Bash => include_str!("script/bash.sh"),
            Self::Zsh => include_str!("script/zsh.sh"),
            Self::Fish => include_str!("script/fish.fish"),
            Self::Powershell => include_str!("script/powershell.ps1"),
        };
        script.replace("FUNCTION", &program.replace('-', "_")).replace("PROGRAM", program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_for_the_program_that_printed_it() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Powershell] {
            let script = shell.script("kubectl-hold_replicas");
            assert!(script.contains("kubectl-hold_replicas") && script.contains("__complete"), "{shell:?}: {script}");
            for placeholder in ["PROGRAM", "FUNCTION"] {
                assert!(!script.contains(placeholder), "{shell:?}: {script}");
            }
        }
    }
}
