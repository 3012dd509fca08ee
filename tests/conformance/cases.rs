//! The table: each case's name, its routes, and what is to come of requests.

use harness::Object;

use super::{
    ask::{Ask, Headers},
    routes,
};

/// A case of the suite.
pub(super) struct Case {
    /// The suite's name of it.
    pub(super) name: &'static str,
    pub(super) routes: fn() -> Vec<Object>,
    pub(super) expected: Expected,
}

/// What a case expects.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    /// Of each of these requests.
    Answers(&'static [Ask]),
    /// Of many requests to `echo`: `echo-v1` has seven tenths of them, `echo-v2` the others.
    Shares { grpc: bool },
}

use Expected::{Answers, Shares};

/// What both cases of changed request headers ask.
const MODIFIED: Expected = Answers(&[
    Ask::by("echo-v1", "/set")
        .with(&[("Some-Other-Header", "val")])
        .told(&[("Some-Other-Header", "val"), ("X-Header-Set", "set-overwrites-values")]),
    Ask::by("echo-v1", "/set")
        .with(&[("Some-Other-Header", "val"), ("X-Header-Set", "some-other-value")])
        .told(&[("Some-Other-Header", "val"), ("X-Header-Set", "set-overwrites-values")]),
    Ask::by("echo-v1", "/add")
        .with(&[("Some-Other-Header", "val")])
        .told(&[("Some-Other-Header", "val"), ("X-Header-Add", "add-appends-values")]),
    Ask::by("echo-v1", "/add")
        .with(&[("Some-Other-Header", "val"), ("X-Header-Add", "some-other-value")])
        .told(&[
            ("Some-Other-Header", "val"),
            ("X-Header-Add", "some-other-value,add-appends-values"),
        ]),
    Ask::by("echo-v1", "/remove")
        .with(&[("X-Header-Remove", "val")])
        .untold(&["X-Header-Remove"]),
    Ask::by("echo-v1", "/multiple")
        .with(&[
            ("X-Header-Set-2", "set-val-2"),
            ("X-Header-Add-2", "add-val-2"),
            ("X-Header-Remove-2", "remove-val-2"),
            ("Another-Header", "another-header-val"),
        ])
        .told(&[
            ("X-Header-Set-1", "header-set-1"),
            ("X-Header-Set-2", "header-set-2"),
            ("X-Header-Add-1", "header-add-1"),
            ("X-Header-Add-2", "add-val-2,header-add-2"),
            ("X-Header-Add-3", "header-add-3"),
            ("Another-Header", "another-header-val"),
        ])
        .untold(&["X-Header-Remove-1", "X-Header-Remove-2"]),
    Ask::by("echo-v1", "/case-insensitivity")
        .with(&[
            ("x-header-set", "original-val-set"),
            ("x-header-add", "original-val-add"),
            ("x-header-remove", "original-val-remove"),
            ("Another-Header", "another-header-val"),
        ])
        .told(&[
            ("X-Header-Set", "header-set"),
            ("X-Header-Add", "original-val-add,header-add"),
            ("Another-Header", "another-header-val"),
        ])
        .untold(&["X-Header-Remove"]),
]);

/// What is sent to a path whose headers are rewritten, too, and what comes of it.
const REWRITTEN: [Headers; 2] = [
    &[
        ("X-Header-Remove", "remove-val"),
        ("X-Header-Add-Append", "append-val-1"),
        ("X-Header-Set", "set-val"),
    ],
    &[
        ("X-Header-Add", "header-val-1"),
        ("X-Header-Add-Append", "append-val-1,header-val-2"),
        ("X-Header-Set", "set-overwrites-values"),
    ],
];

/// All of them.
pub(super) const CASES: &[Case] = &[
    Case {
        name: "MeshBasic",
        routes: routes::none,
        expected: Answers(&[Ask {
            by: None,
            ..Ask::by("", "/")
        }]),
    },
    Case {
        name: "MeshConsumerRoute",
        routes: routes::consumers,
        expected: Answers(&[
            Ask::by("echo-v1", "/").to("echo-v1").of_consumer().answer(Some("set")),
            Ask::by("echo-v1", "/").to("echo-v1").answer(None),
        ]),
    },
    Case {
        name: "MeshFrontend",
        routes: routes::of_one_service,
        expected: Answers(&[
            Ask::by("echo-v2", "/").to("echo-v2").answer(Some("set")),
            Ask::by("echo-v2", "/")
                .to("the pod of echo-v2")
                .at(8080)
                .host("echo-v2")
                .answer(None),
        ]),
    },
    Case {
        name: "MeshFrontendHostname",
        routes: routes::of_one_service,
        expected: Answers(&[
            Ask::by("echo-v2", "/")
                .to("echo-v2")
                .host("echo-v1")
                .answer(Some("set")),
            Ask::by("echo-v1", "/").to("echo-v1").host("echo-v2").answer(None),
        ]),
    },
    Case {
        name: "MeshGRPCRouteWeight",
        routes: routes::weighted_calls,
        expected: Shares { grpc: true },
    },
    Case {
        name: "MeshHTTPRoute303Redirect",
        routes: routes::see_other,
        expected: Answers(&[Ask::led(303, "/redirect", "http://echo/redirect")]),
    },
    Case {
        name: "MeshHTTPRoute307Redirect",
        routes: routes::temporary,
        expected: Answers(&[Ask::led(307, "/temporary", "http://echo/temporary")]),
    },
    Case {
        name: "MeshHTTPRoute308Redirect",
        routes: routes::permanent,
        expected: Answers(&[Ask::led(308, "/permanent", "http://echo/permanent")]),
    },
    Case {
        name: "MeshHTTPRouteBackendRequestHeaderModifier",
        routes: routes::backends_modify,
        expected: MODIFIED,
    },
    Case {
        name: "MeshHTTPRouteMatching",
        routes: routes::matching,
        expected: Answers(&[
            Ask::by("echo-v1", "/"),
            Ask::by("echo-v1", "/example"),
            Ask::by("echo-v1", "/").with(&[("Version", "one")]),
            Ask::by("echo-v2", "/v2"),
            Ask::by("echo-v2", "/v2/example"),
            Ask::by("echo-v2", "/").with(&[("Version", "two")]),
            Ask::by("echo-v2", "/v2/"),
            // No whole part of the path.
            Ask::by("echo-v1", "/v2example"),
            Ask::by("echo-v1", "/foo/v2/example"),
        ]),
    },
    Case {
        name: "MeshHTTPRouteNamedRule",
        routes: routes::named,
        expected: Answers(&[Ask::by("echo-v1", "/named"), Ask::by("echo-v2", "/unnamed")]),
    },
    Case {
        name: "MeshHTTPRouteQueryParamMatching",
        routes: routes::query,
        expected: Answers(&[
            Ask::by("echo-v1", "/?animal=whale"),
            Ask::by("echo-v2", "/?animal=dolphin"),
            Ask::by("echo-v1", "/?animal=whale&otherparam=irrelevant"),
            Ask::by("echo-v2", "/?animal=dolphin&color=yellow"),
            Ask::refused(404, "/?color=blue"),
            Ask::refused(404, "/?animal=dog"),
            Ask::refused(404, "/?animal=whaledolphin"),
            Ask::refused(404, "/"),
            Ask::by("echo-v1", "/path1?animal=whale"),
            Ask::by("echo-v2", "/?animal=whale").with(&[("version", "one")]),
            // One of two matches is enough, all that is in it is needed.
            Ask::by("echo-v1", "/path3?animal=shark"),
            Ask::by("echo-v1", "/path4?animal=kraken").with(&[("version", "three")]),
            Ask::refused(404, "/?animal=shark"),
            Ask::refused(404, "/path4?animal=kraken"),
            // The path goes first.
            Ask::by("echo-v1", "/path5?animal=hydra"),
        ]),
    },
    Case {
        name: "MeshHTTPRouteRedirectHostAndStatus",
        routes: routes::host_and_status,
        expected: Answers(&[
            Ask::led(302, "/hostname-redirect", "http://example.org/hostname-redirect"),
            Ask::led(301, "/host-and-status", "http://example.org/host-and-status"),
        ]),
    },
    Case {
        name: "MeshHTTPRouteRedirectPath",
        routes: routes::redirected_paths,
        expected: Answers(&[
            Ask::led(302, "/original-prefix/lemon", "http://echo/replacement-prefix/lemon"),
            Ask::led(302, "/full/path/original", "http://echo/full-path-replacement"),
            Ask::led(302, "/path-and-host", "http://example.org/replacement-prefix"),
            Ask::led(301, "/path-and-status", "http://echo/replacement-prefix"),
            Ask::led(302, "/full-path-and-host", "http://example.org/replacement-full"),
            Ask::led(301, "/full-path-and-status", "http://echo/replacement-full"),
        ]),
    },
    Case {
        name: "MeshHTTPRouteRedirectPort",
        routes: routes::ports,
        expected: Answers(&[
            Ask::led(302, "/port", "http://echo:8083/port"),
            Ask::led(302, "/port-and-host", "http://example.org:8083/port-and-host"),
            Ask::led(301, "/port-and-status", "http://echo:8083/port-and-status"),
            Ask::led(
                302,
                "/port-and-host-and-status",
                "http://example.org:8083/port-and-host-and-status",
            ),
        ]),
    },
    Case {
        name: "MeshHTTPRouteRequestHeaderModifier",
        routes: routes::rules_modify,
        expected: MODIFIED,
    },
    Case {
        name: "MeshHTTPRouteRewritePath",
        routes: routes::rewrites,
        expected: Answers(&[
            Ask::by("echo-v1", "/prefix/one/two").asked_for("/one/two"),
            Ask::by("echo-v1", "/strip-prefix/three").asked_for("/three"),
            Ask::by("echo-v1", "/strip-prefix").asked_for("/"),
            Ask::by("echo-v1", "/full/one/two").asked_for("/one"),
            Ask::by("echo-v1", "/full/rewrite-path-and-modify-headers/test")
                .asked_for("/test")
                .with(REWRITTEN[0])
                .told(REWRITTEN[1])
                .untold(&["X-Header-Remove"]),
            Ask::by("echo-v1", "/prefix/rewrite-path-and-modify-headers/one")
                .asked_for("/prefix/one")
                .with(REWRITTEN[0])
                .told(REWRITTEN[1])
                .untold(&["X-Header-Remove"]),
        ]),
    },
    Case {
        name: "MeshHTTPRouteSchemeRedirect",
        routes: routes::schemes,
        expected: Answers(&[
            Ask::led(302, "/scheme", "https://echo/scheme"),
            Ask::led(302, "/scheme-and-host", "https://example.org/scheme-and-host"),
            Ask::led(301, "/scheme-and-status", "https://echo/scheme-and-status"),
            Ask::led(
                302,
                "/scheme-and-host-and-status",
                "https://example.org/scheme-and-host-and-status",
            ),
        ]),
    },
    Case {
        name: "MeshHTTPRouteSimpleSameNamespace",
        routes: routes::simple,
        expected: Answers(&[Ask::by("echo-v1", "/")]),
    },
    Case {
        name: "MeshHTTPRouteWeight",
        routes: routes::weighted,
        expected: Shares { grpc: false },
    },
    Case {
        name: "MeshPorts",
        routes: routes::of_one_port,
        expected: Answers(&[
            Ask::by("echo-v1", "/").to("echo-v1").answer(Some("v1")),
            Ask::by("echo-v1", "/").to("echo-v1").at(8080).answer(None),
            Ask::by("echo-v2", "/").to("echo-v2").answer(Some("v2")),
            Ask::by("echo-v2", "/").to("echo-v2").at(8080).answer(Some("v2")),
        ]),
    },
    Case {
        name: "MeshTrafficSplit",
        routes: routes::split,
        expected: Answers(&[Ask::by("echo-v1", "/v1"), Ask::by("echo-v2", "/v2")]),
    },
];
