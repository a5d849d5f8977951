//! What the scripts of the actions over Windows itself would answer: services, application pools,
//! shares, registry, event logs, and a few programs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::simulation::{MachineId, World};
use super::windows::Datum;
use super::{APP_POOL, WorldTime};
use crate::lab::tree::Kind;
use crate::protocol::security_descriptor::SecurityDescriptor;

impl World {
    /// Answers a script of this family; `None` for one that is of another.
    pub(super) fn run_host_script(
        &mut self,
        machine: MachineId,
        script: &str,
        input: &Value,
    ) -> Option<Result<Value, String>> {
        Some(match script {
            "service-state" => text(input, "name").map(|name| self.service_state(machine, name)),
            "service-change" => self.service_change(machine, input),
            "app-pool-state" => text(input, "name").map(|name| self.app_pool_state(machine, name)),
            "app-pool-change" => self.app_pool_change(machine, input),
            "share-state" => self.share_state(machine, input),
            "share-change" => self.share_change(machine, input),
            "registry-read" => self.registry_read(machine, input),
            "registry-set" => self.registry_set(machine, input),
            "event-log" => self.event_log(machine, input),
            "paths-exist" => self.paths_exist(machine, input),
            "run-program" => self.run_program(machine, input),
            _ => return None,
        })
    }

    fn service_state(&self, machine: MachineId, name: &str) -> Value {
        match self.service(machine, name) {
            None => json!({ "found": false }),
            Some(found) => json!({
                "found": true,
                "name": found.name,
                "display_name": found.display_name,
                "state": if found.is_running { "Running" } else { "Stopped" },
                "start_mode": found.start_mode,
                "delayed": found.is_delayed,
                "account": found.account,
                "dependents": [],
            }),
        }
    }

    fn service_change(&mut self, machine: MachineId, input: &Value) -> Result<Value, String> {
        let (name, verb) = (text(input, "name")?, text(input, "verb")?);
        if self.service(machine, name).is_none() {
            return Err(format!("there is no service '{name}'"));
        }
        let mode = text(input, "start_mode")?;
        if !mode.is_empty() {
            self.set_start_mode(machine, name, mode)?;
        }
        if ["stop", "restart"].contains(&verb) {
            self.run_service(machine, name, false)?;
        }
        if ["start", "restart"].contains(&verb) {
            self.run_service(machine, name, true)?;
        }
        Ok(json!({ "done": true }))
    }

    fn app_pool_state(&self, machine: MachineId, name: &str) -> Value {
        let pools = self.app_pools(machine);
        let names: Vec<&str> = pools.iter().map(|(name, _)| *name).collect();
        let found = pools.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        json!({
            "iis": self.has_web_server(machine),
            "name": found.map(|(name, _)| *name),
            "state": found.map(|(_, runs)| if *runs { "Started" } else { "Stopped" }),
            "names": names,
        })
    }

    fn app_pool_change(&mut self, machine: MachineId, input: &Value) -> Result<Value, String> {
        let name = text(input, "name")?;
        let runs = text(input, "verb")? == "start";
        let pools = self.app_pools(machine);
        let found = pools.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let (name, _) = found.ok_or_else(|| format!("there is no application pool '{name}'"))?;
        self.run_app_pool(machine, name, runs);
        Ok(json!({ "done": true }))
    }

    fn share(&self, machine: MachineId, name: &str) -> Option<(String, String)> {
        let MachineId::Server(server) = machine else { return None };
        self.shares(server).into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    fn is_folder(&self, machine: MachineId, path: &str) -> bool {
        let entry = self.tree(machine).entry(path.trim_end_matches('\\'));
        entry.is_some_and(|entry| entry.kind == Kind::Directory)
    }

    fn share_state(&self, machine: MachineId, input: &Value) -> Result<Value, String> {
        let (name, path) = (text(input, "name")?, text(input, "path")?);
        let folder = self.is_folder(machine, path);
        Ok(match self.share(machine, name) {
            None => json!({ "found": false, "folder": folder }),
            Some((name, path)) => json!({
                "found": true,
                "folder": folder,
                "descriptor": BASE64.encode(self.share_rights(machine, &name)),
                "name": name,
                "path": path,
                "description": "",
                "special": false,
            }),
        })
    }

    fn share_change(&mut self, machine: MachineId, input: &Value) -> Result<Value, String> {
        let (name, path, verb) = (text(input, "name")?, text(input, "path")?, text(input, "verb")?);
        let MachineId::Server(server) = machine else {
            return Err("not simulated: shares of the Notification Server".to_owned());
        };
        let present = self.share(machine, name);
        match verb {
            "make" if present.is_some() => {
                return Err(format!("there is a share '{name}' already"));
            }
            "make" if !self.is_folder(machine, path) => {
                return Err(format!("there is no folder '{path}'"));
            }
            "make" => self.create_share(server, name, path),
            _ if present.is_none_or(|(_, leads)| !leads.eq_ignore_ascii_case(path)) => {
                return Err(format!("there is no share '{name}' of '{path}'"));
            }
            _ => {}
        }
        if verb == "end" {
            self.end_share(server, name);
            self.set_share_rights(machine, name, None);
        } else {
            let rights = BASE64
                .decode(text(input, "descriptor")?)
                .ok()
                .filter(|bytes| SecurityDescriptor::parse(bytes).is_ok())
                .ok_or("the descriptor cannot be read")?;
            self.set_share_rights(machine, name, Some(rights));
        }
        Ok(json!({ "done": true }))
    }

    fn registry_read(&self, machine: MachineId, input: &Value) -> Result<Value, String> {
        let (key, name) = (text(input, "key")?, text(input, "value")?);
        let (has_key, value) = self.registry_value(machine, key, name);
        Ok(json!({
            "key": has_key,
            "value": value.is_some(),
            "kind": value.as_ref().map(|datum| &datum.kind),
            "data": value.as_ref().map(|datum| &datum.data),
        }))
    }

    fn registry_set(&mut self, machine: MachineId, input: &Value) -> Result<Value, String> {
        let kind = text(input, "kind")?.to_owned();
        let data = text(input, "data")?.to_owned();
        let datum = (!kind.is_empty()).then_some(Datum { kind, data });
        self.set_registry_value(machine, text(input, "key")?, text(input, "value")?, datum)?;
        Ok(json!({ "done": true }))
    }

    /// The events of a machine: of its start, and of a pool that stopped.
    fn event_log(&self, machine: MachineId, input: &Value) -> Result<Value, String> {
        let log = text(input, "log")?;
        let event = |time: WorldTime, id: u32, level: u32, provider: &str, message: String| {
            let time = self.calendar.timestamp(time).strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
            json!({
                "time": time, "id": id, "level": level, "provider": provider,
                "record": id.to_string(), "message": message,
            })
        };
        let mut events = Vec::new();
        match log.to_lowercase().as_str() {
            "application" | "security" => {}
            "system" => {
                let stopped = self.app_pools(machine).into_iter().filter(|(_, runs)| !runs);
                for (pool, _) in stopped {
                    let text = format!(
                        "Application pool '{pool}' is being automatically disabled due to a series \
                         of failures in the process(es) serving that application pool."
                    );
                    events.push(event(self.now, 5002, 2, "Microsoft-Windows-WAS", text));
                }
                let text = "The Event log service was started.".to_owned();
                events.push(event(WorldTime::START, 6005, 4, "EventLog", text));
            }
            _ => return Err(format!("there is no event log '{log}'")),
        }
        let provider = text(input, "provider")?;
        let ids: Vec<u64> = input
            .get("ids")
            .and_then(Value::as_array)
            .map(|ids| ids.iter().filter_map(Value::as_u64).collect())
            .unwrap_or_default();
        let most = input.get("max").and_then(Value::as_u64).unwrap_or(50);
        events.retain(|event| {
            (provider.is_empty() || event["provider"] == *provider)
                && (ids.is_empty() || event["id"].as_u64().is_some_and(|id| ids.contains(&id)))
        });
        events.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(json!({ "events": events }))
    }

    fn paths_exist(&self, machine: MachineId, input: &Value) -> Result<Value, String> {
        let paths =
            input.get("paths").and_then(Value::as_array).ok_or("there is no list `paths`")?;
        let tree = self.tree(machine);
        let exist: Vec<bool> =
            paths.iter().map(|path| path.as_str().is_some_and(|path| tree.exists(path))).collect();
        Ok(json!({ "exist": exist }))
    }

    /// Runs a text line by line: `echo` and `Write-Output` print what follows as it stands, `hostname`
    /// the machine's name, `exit N` ends, `type nul > "FILE"` makes an empty file and
    /// `echo TEXT >> "FILE"` adds a line to one. Anything else is an error of the script, never a
    /// silent success.
    fn run_program(&mut self, machine: MachineId, input: &Value) -> Result<Value, String> {
        let (program, lines) = (text(input, "program")?, text(input, "text")?);
        if !["powershell", "cmd"].contains(&program) {
            return Err(format!("not simulated: the program `{program}`"));
        }
        let mut stdout = String::new();
        let mut exit_code = 0;
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let appended = rest.trim().strip_suffix('"').and_then(|rest| rest.split_once(" >> \""));
            match (word.to_lowercase().as_str(), rest.trim()) {
                ("echo", _) if appended.is_some() => {
                    let (said, path) = appended.unwrap_or_default();
                    let at = self.calendar.filetime(self.now);
                    self.tree(machine)
                        .append(path, format!("{said}\r\n").as_bytes(), at)
                        .map_err(|error| format!("{path}: {error}"))?;
                }
                ("echo" | "write-output", rest) => stdout.push_str(&format!("{rest}\r\n")),
                ("hostname", "") => stdout.push_str(&format!("{}\r\n", self.computer(machine))),
                ("exit", code) => {
                    exit_code = code.parse().map_err(|_| format!("not simulated: `{line}`"))?;
                    break;
                }
                ("type", rest) if rest.starts_with("nul > ") => {
                    let path = rest["nul > ".len()..].trim_matches('"');
                    let at = self.calendar.filetime(self.now);
                    self.tree(machine)
                        .write(path, Vec::new(), at)
                        .map_err(|error| format!("{path}: {error}"))?;
                }
                _ => return Err(format!("not simulated: `{line}`")),
            }
        }
        Ok(json!({ "ended": "", "exit_code": exit_code, "stdout": stdout, "stderr": "" }))
    }

    /// The program of a package server that is stopped keeps its clients waiting with 503.
    pub(super) fn is_serving(&self, machine: MachineId) -> bool {
        let own = match machine {
            MachineId::NotificationServer => super::DEFAULT_APP_POOL,
            MachineId::Server(_) => APP_POOL,
        };
        let runs = self.app_pools(machine).into_iter().any(|(name, runs)| name == own && runs);
        let service = self.service(machine, super::windows::WEB_SERVICE);
        runs && service.is_some_and(|service| service.is_running)
    }
}

fn text<'a>(input: &'a Value, key: &str) -> Result<&'a str, String> {
    match input.get(key) {
        Some(Value::Null) => Ok(""),
        value => {
            value.and_then(Value::as_str).ok_or_else(|| format!("the input has no text `{key}`"))
        }
    }
}
