import fc from "fast-check";
import type { SchemaCheck } from "../schema-check.ts";
import type { ApiCall } from "./api-call.ts";
import { pathOf } from "./valid-calls.ts";

/** Something that is done to a call, after which it may be right no more. */
type Damage = (call: ApiCall) => ApiCall;

const encoder = new TextEncoder();
const bytes = (...parts: (string | number[])[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === "string" ? [...encoder.encode(part)] : part)));

const RAW_BODIES = [
  ...["", " ", "null", "true", "0", '"text"', "[]", "[[]]", "{", "}", "{}x", '{"title"}', "{'title':'x'}", "undefined", "NaN", "1e999"],
  ...['{"title":"\\u0000"}', '{"title":"\\ud800"}', '{"title":"a","title":7}', '{"__proto__":{"title":"x"}}', '{"constructor":null}'],
  ...[
    '{"title":1e999}',
    '{"payload":1e999}',
    '{"title":"\u0000"}',
    '{"label":"\u202e"}',
    '{"events":[]}',
    "\ufeff{}",
    '--x\r\n\r\n{"title":1}\r\n',
  ],
].map((text) => bytes(text));
const OTHER_BODIES = [
  bytes([0xff, 0xfe, 0x7b, 0x7d]),
  bytes('{"title":"', [0xc3, 0x28], '"}'),
  bytes('{"title":"', [0xed, 0xa0, 0x80], '"}'),
  bytes([0, 0, 0]),
  bytes("[".repeat(20_000)),
  bytes("[".repeat(20_000), "]".repeat(20_000)),
  bytes('{"payload":', "[".repeat(2_000), "]".repeat(2_000), "}"),
  bytes(`{"title":"${"x".repeat(66_000)}"}`),
  bytes(" ".repeat(70_000)),
  new Uint8Array(300_000).fill(0x78),
];
const ODD_VALUES = [
  ...[null, true, false, 0, -1, 0.5, 1e308, -1e308, 2 ** 53, "", " ", "\u0000", "\ud800", "\u202e", "x".repeat(3_000), "💥".repeat(300)],
  ...[
    [],
    {},
    [[]],
    [null],
    { length: 1 },
    { __proto__: null },
    "2026-13-40T99:99:99Z",
    "0000-00-00",
    "javascript:alert(1)",
    "'; DROP TABLE streams; --",
  ],
  ...["http://169.254.169.254/", "https://user:pass@127.0.0.1/", Array(200).fill("tag"), Array(50).fill(null), { a: { b: { c: {} } } }],
];
const CONTENT_TYPES = [
  ...["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=x", "application/xml"],
  ...["application/json; charset=utf-16", "application/json;;;", "application/problem+json", "image/png", "*/*", "json", ";", ""],
];
const METHODS = ["PUT", "OPTIONS", "HEAD", "PROPFIND", "SEARCH", "REPORT", "PURGE", "PATCH", "DELETE", "POST"];
const ODD_IDS = [
  ...[
    "x",
    "0",
    "-1",
    "null",
    "undefined",
    "true",
    "0".repeat(24),
    "7k2m9qx4v8n3p5r1t6w0z2bc",
    "7K2M9QX4V8N3P5R1T6W0Z2BC",
    "x".repeat(3_000),
  ],
  ...[
    "\u0000",
    "\n",
    " ",
    "%",
    "%00",
    "a/b",
    "a\\b",
    "..%2f..",
    "'",
    '"',
    "<script>",
    "ä",
    "💥",
    "{id}",
    ":id",
    "*",
    "'; DROP TABLE streams; --",
  ],
  ...["00000000-0000-0000-0000-000000000000", "admin", "default", "__proto__", "constructor"],
];
const RAW_TARGETS = [
  "/%",
  "/%zz",
  "/%c3%28",
  "/%00",
  "//",
  "/./",
  "/../",
  "/;a=b",
  "/",
  "/?",
  "/index.html",
  "/%2e%2e/%2e%2e/streams",
  "/%F0%9F",
];
const QUERIES = [
  ...[
    "limit=",
    "limit=0",
    "limit=-1",
    "limit=101",
    "limit=1.5",
    "limit=abc",
    "limit=1&limit=2",
    "limit[]=1",
    "limit=%00",
    "limit=1e1",
    "limit=0x10",
  ],
  ...[
    "limit=Infinity",
    "limit=99999999999999999999",
    "cursor=",
    "cursor=x",
    "cursor=%00",
    "cursor=a&cursor=b",
    "after=-1",
    "after=9".repeat(8),
    "sort=",
    "q=",
  ],
  ...[
    "q=%25%27%22",
    `q=${"%F0%9F%92%A5".repeat(40)}`,
    "q=%c3%28",
    "q=%ff",
    "tag=%00",
    `tag=${"x".repeat(65)}`,
    "status=live",
    "sort=title",
    "unknown=1",
  ],
  ...[
    "__proto__=1",
    "constructor=1",
    "=",
    "&&&",
    "?",
    "%",
    "%zz",
    `x=${"y".repeat(7_000)}`,
    "since=now",
    "since=2026-11-21T10:00:00Z&until=2020-01-01T00:00:00Z",
  ],
  ...[
    "since=0000-01-01T00:00:00Z",
    "step=0",
    "step=1e9",
    "broadcast=0",
    "broadcast=2147483649",
    "type=*",
    "order=up",
    "verify=maybe",
    "stream_id=%00",
  ],
  ...["viewer=", "viewer=x", "viewer=%00%00%00%00%00%00%00%00", "token=", "token=a.b.c", "resume=x"],
];
const HEADERS: [name: string, value: string][] = [
  ...["", "x", '"', "*", '"1"', 'W/"1"', '"1", "2"', ",,,", "x".repeat(300), "\u00e4"].map((value): [string, string] => [
    "If-Match",
    value,
  ]),
  ...["", " ", "x", "x".repeat(255), "x".repeat(256), "\u00e4\u00ff", "key with spaces"].map((value): [string, string] => [
    "Idempotency-Key",
    value,
  ]),
  ...["", "Bearer", "Bearer ", "Basic YTpi", "Bearer x", "bearer \u00e4", `Bearer ${"x".repeat(5_000)}`, "Bearer a.b.c"].map(
    (value): [string, string] => ["Authorization", value],
  ),
  ["Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."],
  ["Authorization", `Bearer nova_api_${"0".repeat(32)}`],
  ...["https://evil.example", "null", "x", "http://[", "*"].map((value): [string, string] => ["Origin", value]),
  ...["text/html", "image/*", "", "application/xml;q=1"].map((value): [string, string] => ["Accept", value]),
  ["Upgrade", "websocket"],
  ["Upgrade", "h2c"],
  ["Range", "bytes=0-1"],
  ["If-None-Match", "*"],
  ["X-HTTP-Method-Override", "DELETE"],
  ["CF-Connecting-IP", "not an address"],
  ["CF-Ray", "x".repeat(100)],
  ["User-Agent", "\u00e4".repeat(2_000)],
];

/** What can be done to calls. */
export function damages(check: SchemaCheck): fc.Arbitrary<Damage> {
  const odd = fc.oneof(fc.constantFrom(...ODD_VALUES), fc.jsonValue({ maxDepth: 3 }));
  return fc.oneof(
    {
      weight: 6,
      arbitrary: fc.tuple(fc.nat(), odd).map(([at, value]) => withBody(check, (body) => ({ ...body, [nameAt(body, at)]: value }))),
    },
    { weight: 2, arbitrary: fc.nat().map((at) => withBody(check, (body) => without(body, nameAt(body, at)))) },
    { weight: 1, arbitrary: fc.constant(withBody(check, (body) => ({ ...body, no_such_field: 1 }))) },
    { weight: 3, arbitrary: fc.constantFrom(...RAW_BODIES, ...OTHER_BODIES).map(withRawBody) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }).map(withRawBody) },
    { weight: 1, arbitrary: fc.constantFrom(...CONTENT_TYPES).map((type) => withHeader("Content-Type", type)) },
    {
      weight: 2,
      arbitrary: fc.constantFrom(...METHODS).map(
        (method): Damage =>
          (call) => ({ ...call, method, operation: null, isValid: null }),
      ),
    },
    { weight: 3, arbitrary: fc.tuple(fc.nat(), fc.constantFrom(...ODD_IDS)).map(([at, id]) => withParam(at, id)) },
    { weight: 1, arbitrary: fc.constantFrom(...RAW_TARGETS).map(withTarget) },
    { weight: 3, arbitrary: fc.constantFrom(...QUERIES).map(withQuery) },
    { weight: 3, arbitrary: fc.constantFrom(...HEADERS).map(([name, value]) => withHeader(name, value)) },
  );
}

function nameAt(fields: object, at: number): string {
  const names = Object.keys(fields);
  return names[at % Math.max(names.length, 1)] ?? "title";
}

function without(body: object, name: string): object {
  return Object.fromEntries(Object.entries(body).filter(([own]) => own !== name));
}

function withBody(check: SchemaCheck, change: (body: object) => object): Damage {
  return (call) => {
    const schema = call.operation?.requestBody?.content["application/json"]?.schema;
    const body = parseObject(call.body);
    if (body === null || schema === undefined) return withQuery("unknown=1")(call);
    const text = JSON.stringify(change(body));
    const isWrong = check.problems(schema, JSON.parse(text)).length > 0;
    return { ...call, body: encoder.encode(text), isValid: isWrong ? false : null };
  };
}

/** The object that a body says; null where it says something else, or nothing. */
function parseObject(body: Uint8Array | null): object | null {
  try {
    const value: unknown = body === null ? null : JSON.parse(new TextDecoder().decode(body));
    return typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function withRawBody(body: Uint8Array): Damage {
  return (call) => {
    // A GET with a body is none that HTTP knows what to do with.
    if (call.method === "GET") return call;
    return { ...call, body, isValid: null };
  };
}

function withHeader(name: string, value: string): Damage {
  return (call) => {
    const isOpening = name === "Upgrade" && value === "websocket";
    return isOpening ? call : { ...call, headers: { ...call.headers, [name]: value }, isValid: null };
  };
}

function withParam(at: number, id: string): Damage {
  return (call) => {
    if (Object.keys(call.params).length === 0 || call.operation === null) return withQuery("limit=1&limit=2")(call);
    const params = { ...call.params, [nameAt(call.params, at)]: id };
    const [, query] = call.target.split("?");
    return { ...call, params, target: pathOf(call.operation.path, params) + (query === undefined ? "" : `?${query}`), isValid: null };
  };
}

function withTarget(raw: string): Damage {
  return (call) => ({ ...call, target: call.target.replace(/\/[^/?]*(\?.*)?$/, raw), operation: null, isValid: null });
}

function withQuery(raw: string): Damage {
  return (call) => ({ ...call, target: `${call.target}${call.target.includes("?") ? "&" : "?"}${raw}`, isValid: null });
}
