//! Identities and TLS.

use super::{Field, Record, Shape, Word, texts};
use std::time::Duration;

pub(super) const MTLS: Field = Field::with_default(
    "mtls",
    Shape::Choice(&[
        Word { word: "strict", doc: "they must show a certificate of the mesh" },
        Word {
            word: "permissive",
            doc: "they may also call in plain text, and are then nobody in particular",
        },
    ]),
    "strict",
    "Whether callers in other processes must show who they are. Calls within one data plane cross no network.",
);

pub(super) const AUTHORIZATION: Field = Field::with_default(
    "authorization",
    Shape::Choice(&[
        Word { word: "open", doc: "everybody of the mesh" },
        Word { word: "declared", doc: "services whose `depends_on` names it, and the gateway" },
    ]),
    "open",
    "Which callers are let in. The others are refused with `mesh.identity-denied`.",
);

pub(super) static MESH: Record = Record {
    anchor: "mesh",
    title: "Mesh",
    doc: "What holds for all workloads of the mesh.",
    fields: &[Field::with_default(
        "certificate_ttl",
        Shape::Duration { least: Duration::from_secs(2), most: Duration::from_secs(30 * 86_400) },
        "1h",
        "How long a workload's certificate holds. A new one is got after half to two thirds of that time.",
    )],
    rules: &[],
    example: "certificate_ttl: 15m\n",
};

pub(super) static GATEWAY_TLS: Record = Record {
    anchor: "gateway-tls",
    title: "Gateway TLS",
    doc: "How the gateway speaks TLS. Files are read by the data plane, relative to the manifest's folder, and read \
          again when they change; a new one that cannot be used leaves the old one in use.",
    fields: &[
        Field::required(
            "certificates",
            Shape::List { item: &Shape::Record(&CERTIFICATE), least: 1, most: 1_000 },
            "What it shows, by the host that a client asks for.",
        ),
        Field::with_default(
            "min_version",
            Shape::Choice(&[
                Word { word: "tls1.2", doc: "TLS 1.2 and 1.3" },
                Word { word: "tls1.3", doc: "TLS 1.3 only" },
            ]),
            "tls1.2",
            "The oldest version that it speaks.",
        ),
        Field::optional(
            "plain",
            Shape::Record(&PLAIN),
            "An address beside `listen` where it speaks no TLS. Without it there is none.",
        ),
    ],
    rules: &[],
    example: "\
certificates:
  - {hosts: [shop.example.com, \"*.shop.example.com\"], cert: certs/shop.pem, key: certs/shop.key}
min_version: tls1.3
plain: {listen: 0.0.0.0:80}
",
};

static CERTIFICATE: Record = Record {
    anchor: "gateway-certificate",
    title: "Certificate",
    doc: "A certificate and its key, in PEM files.",
    fields: &[
        Field::optional(
            "hosts",
            Shape::List { item: &Shape::Text(&texts::HOSTNAME), least: 1, most: 100 },
            "The hosts that it is for; those that no other certificate is for if not stated. \
             `*.example.com` is for everything below `example.com`.",
        ),
        Field::required(
            "cert",
            Shape::Text(&texts::FILE),
            "The file with the certificate, followed by what leads to its root.",
        ),
        Field::required("key", Shape::Text(&texts::FILE), "The file with the private key."),
    ],
    rules: &[],
    example: "hosts: [shop.example.com]\ncert: certs/shop.pem\nkey: certs/shop.key\n",
};

static PLAIN: Record = Record {
    anchor: "gateway-plain",
    title: "Plain listener",
    doc: "Where the gateway speaks no TLS.",
    fields: &[
        Field::required("listen", Shape::Text(&texts::LISTEN), "Where it listens."),
        Field::with_default(
            "redirect",
            Shape::Boolean,
            "true",
            "Whether it only tells clients to come by TLS (308). If `false`, it serves as the other does.",
        ),
    ],
    rules: &[],
    example: "listen: 0.0.0.0:80\nredirect: true\n",
};
