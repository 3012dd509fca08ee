//! The chart against the base.

use super::*;

fn deploy() -> PathBuf {
    workspace::root().join("deploy")
}

/// Reads `values.yaml`, which has two levels at most.
fn defaults(text: &str) -> Vec<(String, String)> {
    let mut above = "";
    let mut values = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (key, value) = line.split_once(':').unwrap();
        let value = value.trim().trim_matches('"');
        match (line.starts_with(' '), value) {
            (false, "") => above = key,
            (false, value) => values.push((format!("{{{{ .Values.{key} }}}}"), value.to_owned())),
            (true, value) => values.push((format!("{{{{ .Values.{above}.{} }}}}", key.trim()), value.to_owned())),
        }
    }
    values
}

#[test]
fn rendered_with_its_defaults_the_chart_is_the_base() {
    let chart = deploy().join("helm/weft");
    let values = defaults(&read(&chart, "values.yaml").unwrap());
    for name in TEMPLATES {
        let template = read(&chart.join("templates"), name).unwrap();
        let rendered = values
            .iter()
            .fold(template, |text, (place, value)| text.replace(place.as_str(), value));
        assert_eq!(rendered, read(&deploy(), name).unwrap(), "{name}");
    }
}

#[test]
fn the_files_of_the_chart_are_what_the_base_says() {
    for (path, text) in files(&deploy()).unwrap() {
        let path = deploy().join("helm/weft").join(path);
        let file = fs::read_to_string(&path).unwrap_or_default();
        assert!(file == text, "{} is stale: run `cargo xtask chart`", path.display());
    }
}

#[test]
fn the_base_has_no_file_that_the_chart_leaves_out() {
    let kustomization = read(&deploy(), "kustomization.yaml").unwrap();
    let resources = kustomization
        .lines()
        .filter_map(|line| line.strip_prefix("- ")?.strip_suffix(".yaml"));
    let known = |name: &str| {
        let file = format!("{}.yaml", name.trim_start_matches("crds/"));
        TEMPLATES.contains(&file.as_str()) || CRDS.contains(&file.as_str()) || name == "namespace"
    };
    let unknown: Vec<&str> = resources.filter(|name| !known(name)).collect();
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn every_kustomization_has_this_version() {
    for folder in ["", "examples", "uninstall"] {
        let text = read(&deploy().join(folder), "kustomization.yaml").unwrap();
        assert!(text.contains(&format!("newTag: {VERSION}\n")), "{folder}");
    }
}
