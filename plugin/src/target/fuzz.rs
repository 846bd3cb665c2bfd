//! Targets of the command line.

use super::{TargetRef, check_distinct};

#[test]
fn a_target_is_read_as_it_is_shown() {
    let seeds = ["web", "deploy/web", "sts/db", "rs/x", "widgets.example.com/x", "x.y.io/1", "Deployments.apps/web.v1"];
    fuzz::target("targets of the command line").seeds(seeds).words(["/", ".", "-", "apps", "sts"]).text(|text| {
        match text.parse::<TargetRef>() {
            Ok(target) => {
                assert_eq!(target.to_string().parse::<TargetRef>().unwrap(), target);
                assert!(check_distinct(&[&target, &target]).is_err());
                true
            }
            Err(error) => {
                assert!(error.hint().is_some() && !error.to_string().is_empty());
                false
            }
        }
    });
}
