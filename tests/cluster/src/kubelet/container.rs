//! Runs one container's process, restarts it, and ends it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::plan::Plan;
use super::probe::Health;
use crate::process;

/// The pauses before a restart are short, because tests wait for restarts. The real kubelet's are 10 s to 5 min.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// The state of a container in the status of its pod.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) health: Health,
    pub(super) restarts: u32,
    pub(super) last: Option<Ending>,
}

/// The phase of a container's process.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Waiting { reason: &'static str, message: String },
    Running { pid: u32, since: Time },
    Terminated(Ending),
}

/// How a process ended.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) status: ExitStatus,
    pub(super) started: Time,
    pub(super) finished: Time,
}

impl Ending {
    /// The exit code in the form of a shell: 128 plus the number of a signal.
    pub(super) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }
}

/// Whether the process should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Run,
    Stop(Duration),
}

/// A container with the task that runs its process.
pub(super) struct Running {
    pub(super) plan: Arc<Plan>,
    state: watch::Receiver<State>,
    order: watch::Sender<Order>,
    _task: JoinHandle<()>,
}

impl Running {
    /// Runs the process, and restarts it if the plan says so. Each change of the state notifies `changed`.
    pub(super) fn start(plan: Plan, grace: Duration, changed: Arc<Notify>) -> Self {
        let plan = Arc::new(plan);
        let phase = Phase::Waiting { reason: "ContainerCreating", message: String::new() };
        let (sender, state) = watch::channel(State { phase, health: Health::UNKNOWN, restarts: 0, last: None });
        let (order, orders) = watch::channel(Order::Run);
        let supervisor = Supervisor { plan: plan.clone(), grace, state: sender, orders, changed };
        Self { plan, state, order, _task: tokio::spawn(supervisor.run()) }
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Ends the process permanently, with SIGTERM, and with SIGKILL after `grace`.
    pub(super) fn stop(&self, grace: Duration) {
        self.order.send_if_modified(|order| std::mem::replace(order, Order::Stop(grace)) != Order::Stop(grace));
    }

    /// Whether the process has ended permanently.
    pub(super) fn has_ended(&self) -> bool {
        self.state.has_changed().is_err()
    }
}

struct Supervisor {
    plan: Arc<Plan>,
    grace: Duration,
    state: watch::Sender<State>,
    orders: watch::Receiver<Order>,
    changed: Arc<Notify>,
}

impl Supervisor {
    async fn run(mut self) {
        let changed = self.changed.clone();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.run_once().await {
                Ok(ending) if !self.plan.restarts => {
                    self.update(|state| state.phase = Phase::Terminated(ending));
                    break;
                }
                Ok(ending) => self.update(|state| {
                    state.phase = Phase::Terminated(ending.clone());
                    state.last = Some(ending);
                }),
                Err(error) => {
                    let message = format!("{error:#}");
                    self.update(|state| state.phase = Phase::Waiting { reason: "RunContainerError", message });
                }
            }
            if self.is_stopping() {
                break;
            }
            tokio::select! {
                () = sleep(pause) => {}
                _ = self.orders.changed() => break,
            }
            pause = LONGEST_PAUSE.min(pause * 2);
            self.update(|state| state.restarts += 1);
        }
        // The pod sees the end of this task by the end of its channels, so drop them before the notification.
        drop(self);
        changed.notify_one();
    }

    /// Runs the process until it ends.
    async fn run_once(&mut self) -> Result<Ending> {
        let mut child = self.spawn()?;
        let pid = child.id().context("the process ended before it had an id")?;
        let started = Time(jiff::Timestamp::now());
        let since = started.clone();
        self.update(|state| state.phase = Phase::Running { pid, since });

        let (health, mut verdicts) = watch::channel(Health::UNKNOWN);
        let probes = tokio::spawn(self.plan.probes.clone().watch(health));
        let status = self.supervise(&mut child, pid, &mut verdicts).await;
        probes.abort();
        // As in a container, child processes end with the process.
        let _ = process::signal(pid, Signal::KILL);
        process::forget(&self.plan.record)?;
        self.update(|state| state.health = Health::UNKNOWN);
        Ok(Ending { status: status?, started, finished: Time(jiff::Timestamp::now()) })
    }

    /// Waits for the end of the process, and ends it after an order or a failed liveness probe.
    async fn supervise(
        &mut self,
        child: &mut Child,
        pid: u32,
        verdicts: &mut watch::Receiver<Health>,
    ) -> Result<ExitStatus> {
        let mut asked: Option<Instant> = None;
        let mut probed = true;
        loop {
            let grace = self.grace_to_end(verdicts.borrow_and_update().alive);
            if grace.is_some() && asked.is_none() {
                asked = Some(Instant::now());
                process::signal(pid, Signal::TERM)?;
            }
            // A later order may shorten the grace period.
            let deadline = asked.zip(grace).map(|(asked, grace)| asked + grace);
            tokio::select! {
                status = child.wait() => return Ok(status?),
                _ = self.orders.changed() => {}
                result = verdicts.changed(), if probed => {
                    // The prober ends when the container has no more probes.
                    probed = result.is_ok();
                    let health = *verdicts.borrow();
                    self.update(|state| state.health = health);
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    process::signal(pid, Signal::KILL)?;
                    return Ok(child.wait().await?);
                }
            }
        }
    }

    /// The grace period of the process, if it has to end.
    fn grace_to_end(&mut self, alive: bool) -> Option<Duration> {
        match *self.orders.borrow_and_update() {
            Order::Stop(grace) => Some(grace),
            Order::Run => (!alive).then_some(self.grace),
        }
    }

    fn spawn(&self) -> Result<Child> {
        let plan = &self.plan;
        let mut command = process::command(&plan.program, &plan.record, &plan.log)?;
        command.args(&plan.arguments).env_clear().envs(&plan.environment).current_dir(&plan.folder);
        Command::from(command).spawn().with_context(|| format!("failed to start {}", plan.program.display()))
    }

    fn is_stopping(&self) -> bool {
        *self.orders.borrow() != Order::Run
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(change);
        self.changed.notify_one();
    }
}
