import { PublishAnswer, type PublishRequest } from "../../domain/protocol/origin-link.ts";

/** The edge answered no: trying again will not help. */
export class EdgeRefusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = "EdgeRefusal";
    this.status = status;
    this.code = code;
  }
}

/** The edge did not answer, or not now: trying again may help. */
export class EdgeUnavailable extends Error {
  override readonly name = "EdgeUnavailable";
}

/** Which epoch a call is for, and the proof that it is ours. */
export interface Lease {
  stream: string;
  epoch: number;
  lease: string;
}

const TIMEOUT_MS = 10_000;

/** Calls of `/origin/v1`. Rejects with `EdgeRefusal` or `EdgeUnavailable`; neither ever names a key, token or lease. */
export class EdgeClient {
  readonly #url: string;
  readonly #token: string;

  constructor(edgeUrl: string, token: string) {
    this.#url = `${edgeUrl}/origin/v1`;
    this.#token = token;
  }

  /** Asks the edge to open an epoch. */
  async publish(request: PublishRequest, signal: AbortSignal): Promise<PublishAnswer> {
    const answer = await this.#request("POST", "/publish", {}, JSON.stringify(request), signal);
    return PublishAnswer.parse(await answer.json());
  }

  /** A call within an epoch; `path` is below it. Returns the answer's JSON, or null where there is none. */
  async call(lease: Lease, method: "PUT" | "POST", path: string, body: Uint8Array | object, signal?: AbortSignal): Promise<unknown> {
    const payload = body instanceof Uint8Array ? Uint8Array.from(body) : JSON.stringify(body);
    const answer = await this.#request(method, `/${lease.stream}/${lease.epoch}${path}`, { Lease: lease.lease }, payload, signal);
    const text = await answer.text();
    return text === "" ? null : JSON.parse(text);
  }

  async #request(
    method: string,
    path: string,
    headers: Record<string, string>,
    body: string | Uint8Array<ArrayBuffer>,
    signal?: AbortSignal,
  ): Promise<Response> {
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    let answer: Response;
    try {
      answer = await fetch(this.#url + path, {
        method,
        headers: { ...headers, Authorization: `Bearer ${this.#token}` },
        body,
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      });
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      throw new EdgeUnavailable(`the edge does not answer: ${cause instanceof Error ? cause.message : "unknown reason"}`);
    }
    if (answer.ok) return answer;
    const refusal = (await answer.json().catch(() => ({}))) as { error?: string; message?: string };
    const message = refusal.message ?? `the edge answered ${answer.status}`;
    if (answer.status >= 500 || answer.status === 429) throw new EdgeUnavailable(message);
    throw new EdgeRefusal(answer.status, refusal.error ?? "refused", message);
  }
}
