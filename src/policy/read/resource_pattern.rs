//! The `group/version/resource[/subresource]` of a `.cel` file's front matter.

/// A resource as the front matter names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResourcePattern<'t> {
    /// Empty for the core group, `*` for all.
    pub(super) group: &'t str,
    /// `*` for all.
    pub(super) version: &'t str,
    /// `resource` or `resource/subresource`, either part may be `*`.
    pub(super) resource: &'t str,
}

/// Reads a pattern, or returns what to do about it.
///
/// The core group may be left out, or written as an empty one: `v1/pods`, `/v1/pods`,
/// `v1/pods/exec`. What is left out is told by the first part being a version.
pub(super) fn parse(pattern: &str) -> Result<ResourcePattern<'_>, String> {
    if pattern.trim() != pattern || pattern.is_empty() {
        return Err("write `group/version/resource`, such as `apps/v1/deployments`".to_owned());
    }
    let parts: Vec<&str> = pattern.split('/').collect();
    let (group, version, resource) = match parts.as_slice() {
        ["*"] => return Err("everything is `*/*/*`, with subresources `*/*/*/*`".to_owned()),
        [resource] => {
            return Err(format!(
                "write its group and version too: `apps/v1/{resource}`, or `v1/{resource}` for \
                 the core group"
            ));
        }
        [version, _] if is_version(version) => ("", *version, after(pattern, 1)),
        ["*", resource] => {
            return Err(format!(
                "write `*/*/{resource}` for every group, `/*/{resource}` for the core group"
            ));
        }
        [group, resource] => {
            return Err(format!(
                "write its version too: `{group}/v1/{resource}`, or `{group}/*/{resource}` for \
                 every version"
            ));
        }
        [version, _, _] if is_version(version) => ("", *version, after(pattern, 1)),
        [group, version, _] | [group, version, _, _] => (*group, *version, after(pattern, 2)),
        _ => return Err("at most four parts: `group/version/resource/subresource`".to_owned()),
    };
    check_group(group)?;
    if version != "*" && !is_version(version) {
        return Err(format!(
            "`{version}` is no version; versions are `v1`, `v1beta1` or `*`"
        ));
    }
    for part in resource.split('/') {
        check_resource(part)?;
    }
    Ok(ResourcePattern {
        group,
        version,
        resource,
    })
}

/// Reads `group/version/Kind` as `apiVersion` and `kind`, or returns what to do about it.
pub(super) fn parse_kind(pattern: &str) -> Result<(&str, &str), String> {
    let advice = || {
        "write `group/version/Kind`, such as `autoscaling/v2/HorizontalPodAutoscaler`, or `v1/Kind` \
         for the core group"
            .to_owned()
    };
    let (api_version, kind) = pattern.rsplit_once('/').ok_or_else(advice)?;
    let version = match api_version.split_once('/') {
        Some((group, version)) => {
            if group.is_empty() {
                return Err(advice());
            }
            check_group(group)?;
            version
        }
        None => api_version,
    };
    if !is_version(version) {
        return Err(advice());
    }
    let letters = kind.chars().all(|c| c.is_ascii_alphanumeric());
    if !letters || !kind.starts_with(|c: char| c.is_ascii_uppercase()) {
        return Err(format!(
            "`{kind}` is no kind; kinds begin with a capital letter, such as `ConfigMap`"
        ));
    }
    Ok((api_version, kind))
}

/// Returns what stands behind the first `count` slashes.
fn after(pattern: &str, count: usize) -> &str {
    pattern.splitn(count + 1, '/').last().unwrap_or_default()
}

/// Tells whether `part` is a version by Kubernetes' conventions: `v1`, `v2beta1`.
fn is_version(part: &str) -> bool {
    let Some(rest) = part.strip_prefix('v') else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let major_end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (major, stage) = rest.split_at(major_end);
    let staged = stage
        .strip_prefix("alpha")
        .or_else(|| stage.strip_prefix("beta"));
    digits(major) && (stage.is_empty() || staged.is_some_and(digits))
}

fn check_group(group: &str) -> Result<(), String> {
    let label = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if group.is_empty() || group == "*" || group.split('.').all(label) {
        return Ok(());
    }
    Err(format!(
        "`{group}` is no API group; groups are like `apps`, `meshery.io`, or `*`"
    ))
}

fn check_resource(part: &str) -> Result<(), String> {
    if part == "*" {
        return Ok(());
    }
    if part.is_empty() {
        return Err("a resource or subresource has no name".to_owned());
    }
    let lower = part.to_lowercase();
    if lower != part {
        let plural = if lower.ends_with('s') { "" } else { "s" };
        return Err(format!(
            "resources are plural and lower case: `{lower}{plural}`"
        ));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if part.bytes().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "`{part}` is no resource; resources are like `deployments`, or `*`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_group_version_and_resource() {
        let rows = [
            ("apps/v1/deployments", ("apps", "v1", "deployments")),
            (
                "apps/v1/deployments/scale",
                ("apps", "v1", "deployments/scale"),
            ),
            ("v1/pods", ("", "v1", "pods")),
            ("/v1/pods", ("", "v1", "pods")),
            ("v1/pods/exec", ("", "v1", "pods/exec")),
            ("/v1/pods/exec", ("", "v1", "pods/exec")),
            ("*/*/*", ("*", "*", "*")),
            ("*/*/*/*", ("*", "*", "*/*")),
            ("/*/pods", ("", "*", "pods")),
            ("apps/*/deployments", ("apps", "*", "deployments")),
            (
                "nsm.nginx.com/v1alpha2/meshconfigs",
                ("nsm.nginx.com", "v1alpha2", "meshconfigs"),
            ),
            ("v2beta1/pods/*", ("", "v2beta1", "pods/*")),
        ];
        for (pattern, (group, version, resource)) in rows {
            let expected = ResourcePattern {
                group,
                version,
                resource,
            };
            assert_eq!(parse(pattern), Ok(expected), "{pattern}");
        }
    }

    #[test]
    fn a_malformed_pattern_is_refused_with_the_way_to_mend_it() {
        let rows = [
            ("", "`group/version/resource`"),
            ("pods", "`v1/pods`"),
            ("*", "`*/*/*`"),
            ("apps/deployments", "`apps/v1/deployments`"),
            ("*/pods", "`*/*/pods`"),
            ("apps/v1/Deployment", "`deployments`"),
            ("apps/1/deployments", "`1` is no version"),
            ("Apps/v1/deployments", "`Apps` is no API group"),
            ("apps/v1/deployments/scale/x", "at most four parts"),
            ("apps/v1/", "has no name"),
            ("apps/v1/deploy ments", "`deploy ments` is no resource"),
            (" apps/v1/deployments", "`group/version/resource`"),
            ("-a/v1/pods", "`-a` is no API group"),
        ];
        for (pattern, help) in rows {
            let error = parse(pattern).expect_err(pattern);
            assert!(error.contains(help), "{pattern}: {error}");
        }
    }

    #[test]
    fn a_kind_to_look_up_has_a_version() {
        assert_eq!(parse_kind("v1/ConfigMap"), Ok(("v1", "ConfigMap")));
        assert_eq!(
            parse_kind("autoscaling/v2/HorizontalPodAutoscaler"),
            Ok(("autoscaling/v2", "HorizontalPodAutoscaler"))
        );
        for (pattern, help) in [
            ("ConfigMap", "`group/version/Kind`"),
            ("apps/Deployment", "`group/version/Kind`"),
            ("/v1/ConfigMap", "`group/version/Kind`"),
            ("v1/configmaps", "`configmaps` is no kind"),
            ("a/b/c/D", "`group/version/Kind`"),
        ] {
            let error = parse_kind(pattern).expect_err(pattern);
            assert!(error.contains(help), "{pattern}: {error}");
        }
    }
}
