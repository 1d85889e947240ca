//! The forms that texts may have.

use super::{Quantity, TextForm, units};
use std::net::SocketAddr;
use tenon_core::balance::CookieName;
use tenon_core::manifest::{ConfigKey, HttpMethod, PathPattern, Version};
use tenon_core::policy::is_editable;
use tenon_core::route::{HeaderName, Hostname, RoutePath};
use tenon_core::{Address, InvalidName, Namespace, PolicyName, RouteName, ServiceName};

const DNS_LABEL: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
const LABEL_FORM: &str = "1 to 63 characters of a-z, 0-9 and '-'";

pub(crate) static SYSTEM_NAME: TextForm = TextForm {
    noun: "system name",
    form: LABEL_FORM,
    characters: 1..=63,
    pattern: Some(DNS_LABEL),
    check: |text| ServiceName::new(text).map(drop).map_err(problem),
};

pub(crate) static NAMESPACE: TextForm = TextForm {
    noun: "namespace",
    form: LABEL_FORM,
    characters: 1..=63,
    pattern: Some(DNS_LABEL),
    check: |text| {
        let namespace = Namespace::new(text).map_err(problem)?;
        if namespace.is_reserved() {
            Err("is Tenon's own, as are all that begin with `tenon-`".to_owned())
        } else {
            Ok(())
        }
    },
};

pub(crate) static SERVICE_NAME: TextForm = TextForm {
    noun: "service name",
    form: "a service's name: 1 to 63 characters of a-z, 0-9 and '-'",
    characters: 1..=63,
    pattern: Some(DNS_LABEL),
    check: |text| ServiceName::new(text).map(drop).map_err(problem),
};

pub(crate) static SERVICE_OR_ALL: TextForm = TextForm {
    noun: "service name",
    form: "a service's name, or \"*\" for all",
    characters: 1..=63,
    pattern: Some(r"^(\*|[a-z0-9]([a-z0-9-]*[a-z0-9])?)$"),
    check: |text| if text == "*" { Ok(()) } else { ServiceName::new(text).map(drop).map_err(problem) },
};

pub(crate) static ROUTE_NAME: TextForm = TextForm {
    noun: "route name",
    form: LABEL_FORM,
    characters: 1..=63,
    pattern: Some(DNS_LABEL),
    check: |text| RouteName::new(text).map(drop).map_err(problem),
};

pub(crate) static POLICY_NAME: TextForm = TextForm {
    noun: "policy name",
    form: LABEL_FORM,
    characters: 1..=63,
    pattern: Some(DNS_LABEL),
    check: |text| PolicyName::new(text).map(drop).map_err(problem),
};

pub(crate) static CONDITION_VALUE: TextForm = TextForm {
    noun: "value",
    form: "text of 1 to 4,096 characters",
    characters: 1..=4096,
    pattern: None,
    check: |_| Ok(()),
};

pub(crate) static EDITABLE_HEADER: TextForm = TextForm {
    noun: "header name",
    form: "the name of a header that may be changed, such as x-tenant",
    characters: 1..=256,
    pattern: Some("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"),
    check: |text| {
        let name = HeaderName::new(text).map_err(problem)?;
        if is_editable(&name) { Ok(()) } else { Err("frames a message or is Tenon's own".to_owned()) }
    },
};

pub(crate) static VERSION: TextForm = TextForm {
    noun: "version",
    form: "text such as \"1.4.0\"",
    characters: 1..=64,
    pattern: Some("^[A-Za-z0-9.+-]+$"),
    check: |text| Version::new(text).map(drop).map_err(problem),
};

pub(crate) static CONFIG_KEY: TextForm = TextForm {
    noun: "configuration key",
    form: "1 to 128 characters of a-z, A-Z, 0-9, '.', '_' and '-'",
    characters: 1..=128,
    pattern: Some("^[A-Za-z0-9._-]+$"),
    check: |text| ConfigKey::new(text).map(drop).map_err(problem),
};

pub(crate) static METHOD: TextForm = TextForm {
    noun: "HTTP method",
    form: "an upper-case method such as GET",
    characters: 1..=32,
    pattern: Some("^[A-Z-]+$"),
    check: |text| HttpMethod::new(text).map(drop).map_err(problem),
};

pub(crate) static ENDPOINT_PATH: TextForm = TextForm {
    noun: "path",
    form: "a path such as /orders/{id}",
    characters: 1..=1024,
    pattern: Some("^/[!-~]*$"),
    check: |text| PathPattern::new(text).map(drop).map_err(problem),
};

pub(crate) static ROUTE_PATH: TextForm = TextForm {
    noun: "path",
    form: "a path such as /orders",
    characters: 1..=1024,
    pattern: Some("^/[!-~]*$"),
    check: |text| RoutePath::new(text).map(drop).map_err(problem),
};

pub(crate) static HOSTNAME: TextForm = TextForm {
    noun: "hostname",
    form: "a DNS name such as shop.example.com or *.example.com",
    characters: 1..=253,
    pattern: Some(r"^(\*\.)?[A-Za-z0-9.-]+$"),
    check: |text| Hostname::new(text).map(drop).map_err(problem),
};

pub(crate) static HEADER_NAME: TextForm = TextForm {
    noun: "header name",
    form: "a header's name such as x-tenant",
    characters: 1..=256,
    pattern: Some("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"),
    check: |text| HeaderName::new(text).map(drop).map_err(problem),
};

pub(crate) static HEADER_VALUE: TextForm = TextForm {
    noun: "header value",
    form: "1 to 4,096 characters of printable ASCII, without space at either end",
    characters: 1..=4096,
    pattern: Some("^[!-~]([ -~]*[!-~])?$"),
    check: |text| {
        let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if printable && text.trim() == text {
            Ok(())
        } else {
            Err("must be printable ASCII without space at either end".to_owned())
        }
    },
};

pub(crate) static COOKIE_NAME: TextForm = TextForm {
    noun: "cookie name",
    form: "1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'",
    characters: 1..=64,
    pattern: Some("^[A-Za-z0-9._-]+$"),
    check: |text| CookieName::new(text).map(drop).map_err(problem),
};

pub(crate) static METADATA_KEY: TextForm = TextForm {
    noun: "metadata key",
    form: "1 to 64 bytes",
    characters: 1..=64,
    pattern: None,
    check: |text| if text.len() > 64 { Err("must have at most 64 bytes".to_owned()) } else { Ok(()) },
};

pub(crate) static METADATA_VALUE: TextForm = TextForm {
    noun: "metadata value",
    form: "at most 256 bytes of text",
    characters: 0..=256,
    pattern: None,
    check: |text| if text.len() > 256 { Err("must have at most 256 bytes".to_owned()) } else { Ok(()) },
};

pub(crate) static QUERY_TEXT: TextForm = TextForm {
    noun: "text",
    form: "1 to 1,024 characters, as they are once decoded",
    characters: 1..=1024,
    pattern: None,
    check: |_| Ok(()),
};

pub(crate) static ADDRESS: TextForm = TextForm {
    noun: "address",
    form: "host:port, such as 127.0.0.1:5432 or db.example.com:80",
    characters: 3..=300,
    pattern: Some("^[^ ]+:[0-9]{1,5}$"),
    check: |text| text.parse::<Address>().map(drop).map_err(problem),
};

pub(crate) static LISTEN: TextForm = TextForm {
    noun: "listen address",
    form: "IP:port, such as 127.0.0.1:8080 or 0.0.0.0:80",
    characters: 3..=64,
    pattern: Some(r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$"),
    check: |text| text.parse::<SocketAddr>().map(drop).map_err(|_| "is not of the form IP:port".to_owned()),
};

pub(crate) static LABEL: TextForm = TextForm {
    noun: "name",
    form: "1 to 63 characters of A-Z, a-z, 0-9, '.', '_' and '-', the first and last a letter or digit",
    characters: 1..=63,
    pattern: Some("^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"),
    check: |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let ends = text.starts_with(|it: char| it.is_ascii_alphanumeric())
            && text.ends_with(|it: char| it.is_ascii_alphanumeric());
        if !text.bytes().all(allowed) || !ends {
            return Err(
                "may hold only A-Z, a-z, 0-9, '.', '_' and '-', the first and last a letter or digit"
                    .to_owned(),
            );
        }
        Ok(())
    },
};

pub(crate) static STORE_TYPE: TextForm = TextForm {
    noun: "data store type",
    form: "`postgresql`, `mongodb`, `redis`, `elasticsearch`, `sqlite`, `file` or any other name in lower \
           case",
    characters: 1..=63,
    pattern: Some("^[a-z0-9][a-z0-9-]*$"),
    check: |text| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !text.bytes().all(allowed) || text.starts_with('-') {
            return Err("may hold only a-z, 0-9 and '-', the first a letter or digit".to_owned());
        }
        Ok(())
    },
};

pub(crate) static LINE: TextForm = TextForm {
    noun: "text",
    form: "1 to 128 characters in one line",
    characters: 1..=128,
    pattern: Some(r"^[^\x00-\x1f\x7f]+$"),
    check: |text| {
        if text.chars().any(|it| it.is_ascii_control()) {
            return Err("must be one line without control characters".to_owned());
        }
        Ok(())
    },
};

pub(crate) static ARGUMENT: TextForm = TextForm {
    noun: "argument",
    form: "text of at most 32,768 characters",
    characters: 0..=32768,
    pattern: Some(r"^[^\x00]*$"),
    check: |text| {
        if text.contains('\0') { Err("must not hold the character NUL".to_owned()) } else { Ok(()) }
    },
};

pub(crate) static FOLDER: TextForm = TextForm {
    noun: "folder",
    form: "a folder's path, relative to the manifest",
    characters: 1..=4096,
    pattern: Some(r"^[^\x00]+$"),
    check: |text| {
        if text.contains('\0') { Err("must not hold the character NUL".to_owned()) } else { Ok(()) }
    },
};

pub(crate) static VARIABLE: TextForm = TextForm {
    noun: "environment variable",
    form: "a variable's name: letters, digits and '_', the first no digit",
    characters: 1..=128,
    pattern: Some("^[A-Za-z_][A-Za-z0-9_]*$"),
    check: |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if text.starts_with(|it: char| it.is_ascii_digit()) || !text.bytes().all(allowed) {
            return Err("may hold only letters, digits and '_', the first no digit".to_owned());
        }
        Ok(())
    },
};

pub(crate) static CHECK_PATH: TextForm = TextForm {
    noun: "path",
    form: "a path such as /health",
    characters: 1..=1024,
    pattern: Some("^/[!-~]*$"),
    check: |text| {
        if !text.starts_with('/') {
            return Err("must begin with '/'".to_owned());
        }
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if !text.bytes().all(allowed) {
            return Err("may hold only printable ASCII without spaces and '#'".to_owned());
        }
        Ok(())
    },
};

pub(crate) static GRPC_SERVICE: TextForm = TextForm {
    noun: "gRPC service",
    form: "a gRPC service such as shop.v1.Orders, or nothing for the whole server",
    characters: 0..=255,
    pattern: Some("^[A-Za-z0-9._]*$"),
    check: |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
        if !text.bytes().all(allowed) {
            return Err("may hold only letters, digits, '.' and '_'".to_owned());
        }
        Ok(())
    },
};

pub(crate) static PROTO: TextForm = TextForm {
    noun: "file",
    form: "a .proto file's path such as shop/v1/orders.proto",
    characters: 7..=1024,
    pattern: Some(r"^[^/\x00\\][^\x00\\]*\.proto$"),
    check: |text| {
        let is_plain = |part: &str| !matches!(part, "" | "." | "..");
        if !text.split('/').all(is_plain) || text.contains(['\\', '\0']) {
            return Err("must be below `proto_root`, with '/' between folders".to_owned());
        }
        if text.ends_with(".proto") { Ok(()) } else { Err("must end with `.proto`".to_owned()) }
    },
};

pub(crate) static REFERENCE: TextForm = TextForm {
    noun: "reference",
    form: "a file or URL",
    characters: 1..=1024,
    pattern: Some("^[!-~]+$"),
    check: |text| {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("may hold only printable ASCII without spaces".to_owned());
        }
        Ok(())
    },
};

pub(crate) static CPU: Quantity = Quantity {
    noun: "number of cores",
    form: "cores such as 0.5 or 2, or thousandths such as \"250m\"",
    pattern: "^([0-9]{1,18}m?|[0-9]{1,18}\\.[0-9]{1,3})$",
    fraction: true,
    parse: units::cpu_millis,
};

pub(crate) static MEMORY: Quantity = Quantity {
    noun: "amount of memory",
    form: "bytes, or a number with a unit such as \"64Mi\" or \"1.5Gi\"",
    pattern: "^([0-9]{1,18}|[0-9]{1,18}(\\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|k|M|G|T))$",
    fraction: false,
    parse: units::memory_bytes,
};

// `map_err` gives the error away.
#[allow(clippy::needless_pass_by_value)]
pub(super) fn problem(invalid: InvalidName) -> String {
    invalid.problem.to_owned()
}

pub(crate) static HTTP_URL: TextForm = TextForm {
    noun: "address",
    form: "an address such as http://127.0.0.1:4318, without a path",
    characters: 8..=300,
    pattern: Some("^http://[^/?#@ ]+/?$"),
    check: http_url,
};

fn http_url(text: &str) -> Result<(), String> {
    let Some(rest) = text.strip_prefix("http://") else { return Err("must begin with `http://`".into()) };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let with_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if with_port { authority.to_owned() } else { format!("{authority}:80") };
    address.parse::<Address>().map(drop).map_err(problem)
}

pub(crate) static FILE: TextForm = TextForm {
    noun: "file",
    form: "a file's path, relative to the manifest",
    characters: 1..=4096,
    pattern: Some(r"^[^\x00]+$"),
    check: |text| {
        if text.contains('\0') { Err("must not hold the character NUL".to_owned()) } else { Ok(()) }
    },
};
