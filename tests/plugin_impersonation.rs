//! `--as`: the plugin acts as another user, to the API server and to the server.

use anyhow::{Result, ensure};
use cluster::run;

use support::{Namespace, TestCluster, User};

use crate::login::shared_cluster;

#[tokio::test]
async fn a_login_as_another_user_is_used_by_commands_with_the_same_flags() -> Result<()> {
    let cluster = shared_cluster().await?;
    let shop = Namespace::new(cluster, "acting").await?;
    shop.deployment("web", 1).await?;
    let (ines, robot) = (User::new(cluster, "ines")?, User::new(cluster, "robot")?);
    for user in [&ines, &robot] {
        user.grant_connect().await?;
        user.grant_login().await?;
    }
    ines.run(&["login"]).await?;
    let own = ines.entry()?;
    robot.grant_edit(&shop.name).await?;

    let refused = ines.try_run(&["login", "--as=robot"]).await?;
    ensure!(refused.code == Some(3) && refused.stderr.contains("cannot impersonate"), "{refused:?}");
    allow_ines_to_impersonate(cluster).await?;

    // Without such a login, no call is made.
    let set = ["set", "web", "2", "--as=robot", "--namespace", &shop.name];
    let refused = ines.try_run(&set).await?;
    ensure!(refused.code == Some(3) && refused.stdout.is_empty(), "{refused:?}");
    ensure!(refused.stderr.contains("hint: run `kubectl replicas login --as=robot`"), "{refused:?}");
    // A certificate of the user's own is no way around.
    let [certificate, key, ca] = ["certificateData", "keyData", "caData"].map(|name| write(&ines, &own[name], name));
    let flags = [format!("--cert={}", certificate?), format!("--key={}", key?), format!("--ca={}", ca?)];
    let refused = ines.try_run(&[&set[..], &flags.each_ref().map(String::as_str)].concat()).await?;
    ensure!(refused.code == Some(3) && refused.stderr.contains("login --as=robot"), "{refused:?}");

    let login = ines.run(&["login", "--as=robot"]).await?;
    ensure!(login.contains(" as robot until "), "{login}");
    assert_eq!(ines.run(&set).await?, "deployment.apps/web set to 2 (was not managed)\n");
    assert_eq!(shop.get("replicacount/deployment.web").await?["metadata"]["annotations"][SET_BY], "robot");
    // Each of both users has an operation log of their own.
    let undo = ["undo", "--dry-run", "--namespace", &shop.name];
    let none = ines.try_run(&undo).await?;
    ensure!(none.code == Some(1) && none.stderr.contains("there is no operation of yours"), "{none:?}");
    ensure!(ines.run(&[&undo[..], &["--as=robot"]].concat()).await?.contains("deployment.apps/web"), "it is undone");
    let both = ines.run(&["whoami", "--as=robot"]).await?;
    ensure!(both.starts_with("User:    robot\n") && both.contains("Impersonated by:\n  User:    ines\n"), "{both}");
    let alone = ines.run(&["whoami"]).await?;
    ensure!(alone.starts_with("User:    ines\n") && !alone.contains("Impersonated"), "{alone}");
    let mut entry = ines.entry()?;
    let shown = ines.run(&["config", "view"]).await?;
    ensure!(shown.contains("robot") && shown.matches("DATA+OMITTED").count() == 6, "{shown}");
    entry.as_object_mut().map(|entry| entry.remove("as"));
    assert_eq!(entry, own, "the user's own login stays");

    // Other groups are another identity.
    let groups = ["whoami", "--as=robot", "--as-group=bots"];
    let refused = ines.try_run(&groups).await?;
    ensure!(refused.stderr.contains("login --as=robot --as-group=bots"), "{refused:?}");
    for (kind, name) in
        [("clusterrolebinding", "replica-count-manager-login"), ("rolebinding", "replica-count-manager-connect")]
    {
        let role = if kind == "rolebinding" { format!("--role={name}") } else { format!("--clusterrole={name}") };
        let mut bind = cluster.kubectl();
        bind.args(["create", kind, "bots", &role, "--group=bots", "--namespace=replica-count-manager"]);
        run(&mut bind).await?;
    }
    ines.run(&["login", "--as=robot", "--as-group=bots"]).await?;
    ensure!(ines.run(&groups).await?.contains("Groups:  bots, "), "the groups are those of the flags");

    ines.run(&["logout", "--as=robot"]).await?;
    ensure!(ines.try_run(&set).await?.code == Some(3), "it is logged out");
    ensure!(ines.run(&["whoami"]).await?.starts_with("User:    ines\n"), "the user's own login stays");
    ines.run(&["logout"]).await?;
    ensure!(ines.try_run(&groups).await?.code == Some(3), "a logout ends all logins of the context");
    Ok(())
}

async fn allow_ines_to_impersonate(cluster: &TestCluster) -> Result<()> {
    let role = ["create", "clusterrole", "act-as-robot", "--verb=impersonate", "--resource=users,groups"];
    run(cluster.kubectl().args(role)).await?;
    let bind = ["create", "clusterrolebinding", "act-as-robot", "--clusterrole=act-as-robot", "--user=ines"];
    run(cluster.kubectl().args(bind)).await.map(drop)
}

/// The annotation that names who set a count.
const SET_BY: &str = "replica-count-manager.io/set-by";

/// Writes a part of an entry into a file, and returns its path.
fn write(user: &User<'_>, data: &serde_json::Value, name: &str) -> Result<String> {
    let content: k8s_openapi::ByteString = serde_json::from_value(data.clone())?;
    let path = user.config.with_file_name(name);
    std::fs::write(&path, content.0)?;
    Ok(path.display().to_string())
}
