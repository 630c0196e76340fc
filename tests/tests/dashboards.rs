//! Dashboards, rules and runbook: each metric, variable, command and section that they name is there.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

use readside_tests::dashboards::{self, anchors, unknown};
use readside_tests::prometheus::{promtool, rule_file, values};

#[test]
fn dashboards_are_well_made_and_use_only_what_exists() {
    let boards = dashboards::read_all().unwrap();
    let known = dashboards::known().unwrap();
    assert_eq!(known.uids.len(), boards.len(), "a uid is there twice");
    let mut expressions = 0;
    for board in &boards {
        assert_eq!(
            board.problems(&known),
            Vec::<String>::new(),
            "{}",
            board.file
        );
        expressions += board
            .panels()
            .iter()
            .map(|panel| panel.targets.len())
            .sum::<usize>();
    }
    assert!(
        expressions > 30,
        "only {expressions} expressions were found"
    );
}

#[test]
fn every_alert_has_a_severity_and_a_section_with_commands() {
    let rules = rule_file("alerts.yml").unwrap();
    let names: Vec<&str> = values(&rules, "alert").collect();
    assert!(names.len() > 10);
    assert_eq!(values(&rules, "summary").count(), names.len());
    assert_eq!(values(&rules, "description").count(), names.len());
    for labels in values(&rules, "labels") {
        assert!(
            ["{ severity: page }", "{ severity: warn }"].contains(&labels),
            "{labels}"
        );
    }
    let text = dashboards::runbook().unwrap();
    let sections = anchors(&text);
    let urls: Vec<&str> = values(&rules, "runbook_url").collect();
    for (name, url) in names.iter().zip(&urls) {
        let (page, anchor) = url.split_once('#').unwrap();
        assert!(page.ends_with("/dashboards/RUNBOOK.md"), "{url}");
        assert_eq!(anchor, name.to_lowercase(), "{name} leads elsewhere");
        assert!(sections.contains(anchor), "{name} has no section");
        let section = text.split(&format!("## {name}\n")).nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        assert!(section.contains("```sh"), "{name}: no command");
    }
    assert_eq!(urls.len(), names.len());
    for section in &sections {
        assert!(
            !section.starts_with("readside") || names.iter().any(|n| n.to_lowercase() == **section),
            "the section `{section}` is of no alert"
        );
    }
}

#[test]
fn a_metric_that_is_misspelt_in_a_rule_is_found() {
    let known = dashboards::known().unwrap();
    let mut seen = 0;
    for file in ["recording.yml", "alerts.yml"] {
        let rules = rule_file(file).unwrap();
        for expression in values(&rules, "expr").filter(|e| *e != "|-") {
            assert_eq!(unknown(expression, &known), Vec::<String>::new());
            let misspelt = expression.replace("readside", "raedside");
            if misspelt.contains("raedside_") || misspelt.contains("raedside:") {
                assert!(!unknown(&misspelt, &known).is_empty(), "{misspelt}");
                seen += 1;
            }
        }
    }
    assert!(seen > 15, "only {seen} expressions were found");
}

/// Every `readside …` of the runbook's commands is one that the program knows.
#[tokio::test]
async fn the_runbook_names_only_commands_and_flags_that_exist() {
    let binary = tokio::task::spawn_blocking(readside_tests::readside::binary)
        .await
        .unwrap()
        .unwrap();
    let help = |command: &[&str]| {
        let output = Command::new(&binary)
            .args(command)
            .arg("--help")
            .output()
            .unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    };
    let mut seen = 0;
    let mut code = false;
    for line in dashboards::runbook().unwrap().lines() {
        if line.starts_with("```") {
            code = line == "```sh";
            continue;
        }
        let mut said: Vec<&str> = Vec::new();
        if code {
            said.extend(line.split('|').map(str::trim));
        } else {
            said.extend(line.split('`').skip(1).step_by(2));
        }
        for command in said {
            let Some(rest) = command.strip_prefix("readside ") else {
                continue;
            };
            let rest = rest.split('#').next().unwrap();
            let mut words = rest.split_whitespace();
            let name = words.next().unwrap();
            let text = help(&[name]).unwrap_or_else(|| panic!("no command `{command}`"));
            for flag in words.filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap();
                assert!(text.contains(flag), "no flag `{flag}`: {command}");
            }
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} commands were found");
}

#[test]
fn promtool_is_content_with_configuration_rules_and_their_timing() {
    promtool(&["check", "config", "prometheus.yml"]).unwrap();
    promtool(&["test", "rules", "rules_test.yml"]).unwrap();
}
