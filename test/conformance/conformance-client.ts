import type { Findings } from "./findings.ts";

/** An answer of the platform, read to its end. */
export interface Answer {
  status: number;
  bytes: Buffer;
  headers: Headers;
  /** From request to last byte. */
  tookMs: number;
}

const TIMEOUT_MS = 12_000;
const EXPOSED = ["age", "date", "content-length"];

/** Asks as a player on another site does, and checks what every answer must have (PL15). Rejects where nothing answers in 12 s. */
export class ConformanceClient {
  readonly #findings: Findings;
  readonly #stop: AbortSignal;

  constructor(findings: Findings, stop: AbortSignal) {
    this.#findings = findings;
    this.#stop = stop;
  }

  /** `type` is the content type that a 200 must carry. */
  async get(url: string, type: string): Promise<Answer> {
    const started = performance.now();
    const signal = AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), this.#stop]);
    const answer = await fetch(url, { headers: { Origin: "https://player.example", "Accept-Encoding": "gzip" }, signal });
    const bytes = Buffer.from(await answer.arrayBuffer());
    if (answer.status === 200) this.#checkHeaders(answer.headers, type, bytes.length);
    else if (answer.headers.get("Cache-Control") !== "no-store") this.#findings.report("PL15", type, "a refusal that may be stored");
    return { status: answer.status, bytes, headers: answer.headers, tookMs: performance.now() - started };
  }

  #checkHeaders(headers: Headers, type: string, length: number): void {
    const say = (what: string, detail = "") => this.#findings.report("PL15", type, what, detail);
    if (headers.get("Content-Type") !== type) say("wrong content type", String(headers.get("Content-Type")));
    if (headers.get("Access-Control-Allow-Origin") !== "*") say("no CORS");
    const exposed = (headers.get("Access-Control-Expose-Headers") ?? "").toLowerCase().split(/\s*,\s*/);
    for (const name of EXPOSED) if (!exposed.includes(name)) say(`${name} is not exposed`);
    if (headers.get("Cache-Control") === null) say("no Cache-Control");
    if (type === "application/vnd.apple.mpegurl") {
      if (headers.get("Content-Encoding") !== "gzip") say("a playlist is not compressed");
    } else if (headers.get("Content-Length") !== String(length))
      say("wrong Content-Length", `${headers.get("Content-Length")} for ${length}`);
  }
}
