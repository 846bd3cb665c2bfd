use super::*;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn shown(targets: &[TargetRef]) -> String {
    targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn words_are_read_as_kubectl_reads_them() {
    for (line, targets) in [
        ("web", "deployment.apps/web"),
        ("web db", "deployment.apps/web deployment.apps/db"),
        ("web sts/db", "deployment.apps/web statefulset.apps/db"),
        ("deployment web", "deployment.apps/web"),
        ("Deployment web", "deployment.apps/web"),
        ("deployments.apps web", "deployment.apps/web"),
        ("sts db other", "statefulset.apps/db statefulset.apps/other"),
        ("deployment deployment", "deployment.apps/deployment"),
        ("deployment/deployment", "deployment.apps/deployment"),
        ("deployment/sts web", "deployment.apps/sts deployment.apps/web"),
        ("rollouts.argoproj.io/web db", "rollouts.argoproj.io/web deployment.apps/db"),
        ("web.v1", "deployment.apps/web.v1"),
        ("web.v1 sts/db", "deployment.apps/web.v1 statefulset.apps/db"),
        ("service", "deployment.apps/service"),
        ("", ""),
    ] {
        assert_eq!(shown(&parse(&words(line)).unwrap()), targets, "{line}");
    }
}

#[test]
fn a_command_that_only_shows_targets_takes_several_of_any_kind() {
    for (line, targets) in [
        ("web", "deployment.apps/web"),
        ("web api", "deployment.apps/web deployment.apps/api"),
        (
            "web api shopfront sts/db",
            "deployment.apps/web deployment.apps/api deployment.apps/shopfront statefulset.apps/db",
        ),
        ("sts db other", "statefulset.apps/db statefulset.apps/other"),
        ("rollout web api", "rollout/web rollout/api"),
        ("rollouts.argoproj.io web", "rollouts.argoproj.io/web"),
        ("rollouts.argoproj.io/web db", "rollouts.argoproj.io/web deployment.apps/db"),
    ] {
        assert_eq!(shown(&parse_shown(&words(line)).unwrap()), targets, "{line}");
    }
    for (line, error) in [
        ("web deploy/web", "deployment.apps/web is named twice"),
        ("rollout web web", "rollout/web is named twice"),
        ("pods web", "\"pods\" is a kind whose objects have no count to hold"),
        ("sts sts/db", "\"sts/db\" names its kind itself, so \"sts\" must not stand before it"),
    ] {
        assert_eq!(parse_shown(&words(line)).unwrap_err().to_string(), error, "{line}");
    }
}

#[test]
fn a_command_for_one_target_names_the_second_one() {
    for (line, word) in [("web api", "api"), ("web api shopfront sts/db", "api"), ("sts db other", "other")] {
        let error = parse_single(&words(line)).unwrap_err();
        assert_eq!(error, Error::TwoTargets { word: word.to_owned() }, "{line}");
    }
}

#[test]
fn what_may_mean_two_things_is_refused() {
    for (line, error) in [
        ("deployment", "\"deployment\" is a kind, not the name of a target"),
        ("STS", "\"STS\" is a kind, not the name of a target"),
        ("web deployment", "\"deployment\" is a kind, not the name of a target"),
        ("web sts db", "\"sts\" is a kind, not the name of a target"),
        ("deployment sts/db", "\"sts/db\" names its kind itself, so \"deployment\" must not stand before it"),
        ("rollout web", "\"rollout\" may be a kind or the name of a Deployment"),
        ("pods web", "\"pods\" is a kind whose objects have no count to hold"),
        ("rollouts.argoproj.io web", "\"rollouts.argoproj.io\" may be a kind or the name of a Deployment"),
        ("deployment web web", "deployment.apps/web is named twice"),
        ("web deploy/web", "deployment.apps/web is named twice"),
        ("sts Db", "\"Db\" is not a target: its name is not that of an object"),
    ] {
        assert_eq!(parse(&words(line)).unwrap_err().to_string(), error, "{line}");
    }
}

fn kinds(line: &str, flag: Option<&'static str>) -> Kinds {
    Kinds { kinds: line.split_whitespace().map(|word| parse_kind(word).unwrap()).collect(), flag }
}

#[test]
fn a_list_takes_kinds_or_targets() {
    let of_kinds = |line: &str| ListedWords::Clear(Listed::Kinds(kinds(line, None)));
    let of_targets = |line: &str| ListedWords::Clear(Listed::Targets(parse(&words(line)).unwrap()));
    let open = |word: &str| ListedWords::Open { kind: parse_kind(word).unwrap(), target: parse_one(word).unwrap() };
    for (line, listed) in [
        ("", of_kinds("")),
        ("sts", of_kinds("sts")),
        ("deployments,sts", of_kinds("deploy sts")),
        ("deploy,rollouts", of_kinds("deploy rollouts")),
        ("sts,clonesets", of_kinds("sts clonesets")),
        ("web", of_targets("web")),
        ("sts db other", of_targets("sts/db sts/other")),
        ("rollouts", open("rollouts")),
        ("ro", open("ro")),
        ("clonesets.apps.kruise.io", open("clonesets.apps.kruise.io")),
    ] {
        assert_eq!(parse_listed(&words(line)), Ok(listed), "{line}");
    }
    for (line, error) in [
        ("sts,pods", "\"pods\" is a kind whose objects have no count to hold"),
        ("sts,sts/db", "\"sts/db\" is not a kind"),
        ("sts,", "\"\" is not a kind"),
        ("web sts", "\"sts\" is a kind, not the name of a target"),
    ] {
        assert_eq!(parse_listed(&words(line)).unwrap_err().to_string(), error, "{line}");
    }
}

#[test]
fn a_word_beside_a_flag_that_chooses_targets_is_a_kind() {
    for line in ["", "sts", "rollouts", "clonesets", "sts deploy", "web.v1"] {
        assert_eq!(parse_kinds(&words(line), "--all"), Ok(kinds(line, Some("--all"))), "{line}");
    }
    assert_eq!(parse_kinds(&words("sts,ro"), "--all"), Ok(kinds("sts ro", Some("--all"))));
    for (line, error) in [
        ("sts/db", "--all cannot be used with the names of targets"),
        ("sts db/x", "--all cannot be used with the names of targets"),
        ("pods", "\"pods\" is a kind whose objects have no count to hold"),
    ] {
        assert_eq!(parse_kinds(&words(line), "--all").unwrap_err().to_string(), error, "{line}");
    }
}

#[test]
fn the_first_of_several_words_may_be_a_kind() {
    for (line, is_open) in [
        ("clonesets web", true),
        ("web api db", true),
        ("web", false),
        ("web sts/db", false),
        ("sts db", false),
        ("rollouts web", false),
        ("pods web", false),
        ("we_b api", false),
    ] {
        assert_eq!(perhaps_kind(&words(line)).is_some(), is_open, "{line}");
    }
}

#[test]
fn a_pair_with_a_group_is_one_target() {
    let pair = |kind: &str, name: &str| parse_pair(kind, name).map(|pair| pair.map(|it| it.to_string()));
    assert_eq!(pair("rollouts.argoproj.io", "web"), Some(Ok("rollouts.argoproj.io/web".to_owned())));
    assert_eq!(pair("sts", "db"), Some(Ok("statefulset.apps/db".to_owned())));
    assert_eq!(pair("web", "db"), None);
    assert_eq!(pair("rollout", "web"), Some(Ok("rollout/web".to_owned())));
    assert!(pair("pods", "web").unwrap().is_err());
}
