import { createApiClient } from "../../../api/client/api-client.ts";

const api = createApiClient("").api.v1;

const TIMEOUT_MS = 5_000;

/** What an address leads to: `absent` for 404, `denied` for 401, `gone` for 410; `unknown` where nothing answers. */
export type Found = "there" | "absent" | "denied" | "gone" | "unknown";

/** Whether the socket of a stream leads anywhere; a browser does not say why one did not open. */
export async function lookUpStream(id: string, token: string | null): Promise<Found> {
  const query = { viewer: "stream-lookup", ...(token === null ? {} : { token }) };
  const answer = await patiently((init) => api.streams[":id"].ws.$get({ param: { id }, query }, { init }));
  return answer === null ? "unknown" : foundOf(answer.status);
}

/** What stands at a multivariant playlist's address; the browser's own player does not say why it failed. */
export async function lookUpPlaylist(url: string): Promise<Found> {
  const answer = await ask(url);
  return answer === null ? "unknown" : foundOf(answer.status);
}

/** Whether the address of an ended stream plays a recording: `there`, `gone`, or not (yet): `unknown`. */
export async function lookUpRecording(url: string): Promise<Found> {
  const answer = await ask(url);
  if (answer === null || !answer.ok) return answer === null ? "unknown" : foundOf(answer.status);
  const text = await answer.text().catch(() => "");
  return /^[^#\n]*\/recording\.m3u8$/m.test(text) ? "there" : "unknown";
}

function foundOf(status: number): Found {
  switch (status) {
    case 401:
    case 403:
      return "denied";
    case 404:
      return "absent";
    case 410:
      return "gone";
    default:
      return status >= 500 ? "unknown" : "there";
  }
}

function ask(url: string): Promise<Response | null> {
  return patiently((init) => fetch(url, init));
}

/** The answer of a request, null where none comes in time. */
async function patiently<Answer>(send: (init: RequestInit) => Promise<Answer>): Promise<Answer | null> {
  try {
    return await send({ signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" });
  } catch {
    return null;
  }
}
